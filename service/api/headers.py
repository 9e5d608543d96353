"""Security headers on every answer: nothing loads from elsewhere, nothing is framed, nothing is sniffed."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.config import Settings

COMMON: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()",
    ),
)
PAGE = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
)
FILE = (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")
"""For what a user has sent and gets back: should a browser show it after all, nothing in it runs."""

OURS = ((b"cross-origin-resource-policy", b"same-origin"),)
EVERYBODYS = ((b"cross-origin-resource-policy", b"cross-origin"), (b"access-control-allow-origin", b"*"))
"""For modules that pages of other origins import; they hold nothing that is secret."""

EXPOSED = (
    "Location", "Job-Location", "Retry-After", "Link", "ETag", "Content-Disposition", "Content-Range", "Accept-Ranges",
    "Repr-Digest", "Content-Digest", "Accept-Patch", "Idempotency-Key", "Preference-Applied",
    "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Limit", "Upload-Expires", "Upload-Metadata",
    "Upload-Defer-Length", "Upload-Concat", "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size",
    "Tus-Checksum-Algorithm", "RateLimit", "RateLimit-Policy", "X-Request-Id",
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
    """ASGI middleware that adds them, and what the scope has to tell in `told`; it counts the answers, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["app"].state.meters.requests[scope["method"], message["status"]] += 1
                own = message["headers"]
                names = {name for name, _ in own}
                policy = FILE if b"content-disposition" in names else PAGE
                sharing = EVERYBODYS if scope["path"].startswith("/client/") else OURS
                message["headers"] = [*own, *COMMON, policy, *sharing, *scope.get("told", ())]
            await send(message)

        await self._app(scope, receive, sealed if scope["type"] == "http" else send)
