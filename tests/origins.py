"""Web servers of other origins, for pages that are not ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from service.server import Server, bind, url_of


@asynccontextmanager
async def pages(folder: Path) -> AsyncIterator[str]:
    """A web server of another origin; its URL."""
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
    with bind("127.0.0.1", 0) as bound:
        server = Server(app, lambda: None)
        serving = asyncio.create_task(server.serve([bound]))
        try:
            yield url_of(bound)
        finally:
            server.should_exit = True
            await serving
