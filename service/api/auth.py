"""Who is asking: `Authorization: Bearer <key>`, checked for every path below /v1."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.deps import Deps
from service.domain.errors import AccessError
from service.store import accounts
from service.store.accounts import Caller

REMEMBERED_S = 5.0
"""A key that is revoked opens nothing after so long."""

MOST_REMEMBERED = 10_000


class Authenticate:
    """ASGI middleware that puts the caller into the scope, or answers 401."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[str, tuple[Caller, float]] = {}  # by header, with the moment until which it holds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if scope["method"] == "OPTIONS":  # says what is spoken here, and nothing of anybody
            await self._app(scope, receive, send)
            return
        scope["caller"] = await self._caller(request.app.state.deps, request.headers.get("authorization", ""))
        await self._app(scope, receive, send)

    async def _caller(self, deps: Deps, header: str) -> Caller:
        now = time.monotonic()
        caller, until = self._known.get(header, (None, 0.0))
        if caller is None or now > until:
            caller = await _looked_up(deps, header)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[header] = caller, now + REMEMBERED_S
        return caller


def caller_of(request: Request) -> Caller:
    """The authenticated caller of a request below /v1."""
    caller: Caller = request.scope["caller"]
    return caller


async def _looked_up(deps: Deps, header: str) -> Caller:
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
