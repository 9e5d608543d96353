"""The ASGI application, from parts that somebody else built."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from service.api.headers import SecurityHeaders, cross_origin
from service.api.intake import DrainRefused
from service.api.limits import Buckets
from service.api.metering import Meters
from service.api.problems import HANDLERS
from service.api.routes import ROUTES
from service.api.streams import Streams
from service.deps import Deps


def create_app(deps: Deps, streams: Streams) -> Starlette:
    """The application; `deps` and `streams` are opened and closed by the caller."""
    app = Starlette(
        routes=ROUTES,
        middleware=[*cross_origin(deps.settings), Middleware(SecurityHeaders), Middleware(DrainRefused)],
        exception_handlers=HANDLERS,
    )
    app.state.deps = deps
    app.state.streams = streams
    app.state.meters = Meters()
    app.state.failed_log_ins = Buckets()
    return app
