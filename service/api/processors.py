"""/v1/processors: what this installation can do."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api import views
from service.deps import Deps


async def index(request: Request) -> JSONResponse:
    """GET /v1/processors."""
    deps: Deps = request.app.state.deps
    return JSONResponse({"processors": [views.processor(p) for _, p in sorted(deps.catalog.items())]})
