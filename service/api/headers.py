"""Security headers on every answer: nothing loads from elsewhere, nothing is framed, nothing is sniffed."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.config import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


EXPOSED = (
    "Location", "Job-Location", "Retry-After", "Link", "ETag", "Content-Disposition", "Content-Range", "Accept-Ranges",
    "Repr-Digest", "Content-Digest", "Accept-Patch", "Idempotency-Key", "Preference-Applied",
    "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Limit", "Upload-Expires", "Upload-Metadata",
    "Upload-Defer-Length", "Upload-Concat", "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
)  # fmt: skip
"""What pages of other origins may read of an answer."""


def cross_origin(settings: Settings) -> list[Middleware]:
    """What lets pages of the configured origins call; nothing if there are none."""
    origins = [origin.strip().rstrip("/") for origin in settings.cors_origins.split(",") if origin.strip()]
    if not origins:
        return []
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=methods,
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=600,
        )
    ]


class SecurityHeaders:
    """ASGI middleware that adds HEADERS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, sealed if scope["type"] == "http" else send)
