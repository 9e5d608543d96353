"""/livez and /readyz: is the process alive; can it serve."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.deps import Deps


async def live(_request: Request) -> JSONResponse:
    """GET /livez: the event loop turns."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> JSONResponse:
    """GET /readyz: the database answers. Redis may be away: that only slows things."""
    deps: Deps = request.app.state.deps
    try:
        async with asyncio.timeout(2), deps.database.connection() as db:
            await db.fetchval("select 1")
    except Exception:  # whatever it is, we cannot serve
        return JSONResponse({"status": "no database"}, 503)
    return JSONResponse({"status": "ok"})
