"""Who is asking: `Authorization: Bearer <key>`, checked for every path below /v1."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.deps import Deps
from service.domain.errors import AccessError
from service.store import accounts
from service.store.accounts import Caller


class Authenticate:
    """ASGI middleware that puts the caller into the scope, or answers 401."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        scope["caller"] = await _caller(request.app.state.deps, request.headers.get("authorization", ""))
        await self._app(scope, receive, send)


def caller_of(request: Request) -> Caller:
    """The authenticated caller of a request below /v1."""
    caller: Caller = request.scope["caller"]
    return caller


async def _caller(deps: Deps, header: str) -> Caller:
    scheme, _, key = header.partition(" ")
    if scheme.lower() == "bearer" and key:
        async with deps.database.connection() as db:
            if caller := await accounts.authenticate(db, key.strip()):
                return caller
    raise AccessError(
        "unauthenticated",
        "This needs a valid key.",
        suggestion="Send it as 'Authorization: Bearer <key>'; `python -m service account NAME` makes one.",
    )
