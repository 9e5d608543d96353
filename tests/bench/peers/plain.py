"""Plain Starlette that writes each body to a file and does nothing else: `python plain.py FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])


async def create(request: Request) -> Response:
    """POST /: the body is the file."""
    with (FOLDER / str(uuid4())).open("wb") as file:
        async for piece in request.stream():
            file.write(piece)
    return Response(status_code=201)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/", create, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
