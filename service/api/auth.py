"""Who is asking, and may they: checked for every path below /v1, and nowhere else.

Programs send `Authorization: Bearer <key>`, pages the cookie of a session. A request that acts needs a key of role
operator; one that acts by cookie must also come from a page of ours: it carries the session's CSRF token, which no
other page can read, and the browser itself says that it is of the same origin.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.limits import Buckets
from service.deps import Deps
from service.domain.access import Role
from service.domain.errors import AccessError, QuotaError
from service.domain.ids import new_id
from service.store import accounts, acting, audit, sessions
from service.store.accounts import Caller
from service.store.acting import Act
from service.store.database import Connection

REMEMBERED_S = 5.0
"""A key that is revoked, or a session that is ended elsewhere, opens nothing after so long."""

MOST_REMEMBERED = 10_000

COOKIE = "__Host-millrace"
"""The prefix has browsers refuse it unless it is Secure, for this host alone and for every path."""

BURST_S = 10
"""An account may make the requests of so many seconds at once."""

OPEN = {("POST", "/v1/session")}
"""What needs no key, or brings it in its body."""

FOR_VIEWERS = {("DELETE", "/v1/session")}
"""What changes something and yet is everybody's: to log out."""

SAFE = ("GET", "HEAD")

Look = Callable[[Deps, Connection, str], Awaitable[Caller | None]]

_RESUMES = re.compile(r"/v1/uploads/[^/]+")
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Authenticate:
    """ASGI middleware that puts the caller into the scope, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[str, tuple[Caller, float]] = {}  # by header or cookie, with the moment until which it holds
        self._buckets = Buckets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if (
            method != "OPTIONS" and (method, path) not in OPEN
        ):  # OPTIONS says what is spoken here, and nothing of anybody
            request = Request(scope)
            caller = scope["caller"] = await self._caller(request)
            self._count(request, caller)
            if _acts(method, path):
                act = Act(caller.account_id, caller.key_id, caller.session_id, caller.request_id, f"{method} {path}")
                await _check(request, caller, act)
                with acting.acting(act):
                    await self._app(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, request: Request) -> Caller:
        deps: Deps = request.app.state.deps
        if header := request.headers.get("authorization"):
            caller = await self._remembered(deps, header, _by_key)
        elif secret := request.cookies.get(COOKIE):
            caller = await self._remembered(deps, secret, _by_session)
            request.scope["forget"] = lambda: self._known.pop(secret, None)
        else:
            raise _unauthenticated()
        return replace(caller, request_id=request_id_of(request))

    async def _remembered(self, deps: Deps, shown: str, look: Look) -> Caller:
        now = time.monotonic()
        caller, until = self._known.get(shown, (None, 0.0))
        if caller is None or now > until:
            async with deps.database.connection() as db:
                caller = await look(deps, db, shown)
            if caller is None:
                raise _unauthenticated()
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[shown] = caller, now + REMEMBERED_S
        return caller

    def _count(self, request: Request, caller: Caller) -> None:
        settings_say = request.app.state.deps.settings.account_requests
        rate = settings_say if caller.max_requests is None else caller.max_requests
        told = request.scope["told"] = [(b"x-request-id", caller.request_id.encode())]
        if not rate:
            return
        left = self._buckets.take(caller.account_id, rate, rate * BURST_S)
        told.append((b"ratelimit-policy", b'"account";q=%d;w=%d' % (rate * BURST_S, BURST_S)))
        told.append((b"ratelimit", b'"account";r=%d;t=%d' % (max(0, left), 1)))
        if left < 0:
            raise QuotaError(
                "rate_limited",
                f"This account makes more than {rate} requests a second.",
                suggestion="Wait as long as Retry-After says; a list of jobs or a batch counts as one request.",
                retry_after_s=-left / rate,
            )


def caller_of(request: Request) -> Caller:
    """The authenticated caller of a request below /v1."""
    caller: Caller = request.scope["caller"]
    return caller


def request_id_of(request: Request) -> str:
    """What the request goes by in log and audit: the client's word for it, or one of ours."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id().hex


def check_may_act(caller: Caller) -> None:
    """Raises AccessError for one who may only look."""
    if caller.role is Role.VIEWER:
        raise AccessError(
            "forbidden",
            "This key is a viewer's: it sees everything and changes nothing.",
            suggestion="Use a key of role operator; `python -m service account NAME operator` makes one.",
        )


def check_is_ours(request: Request, secret: str) -> None:
    """Raises AccessError for a request by cookie that no page of ours has made."""
    check_origin(request)
    if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), sessions.csrf_token(secret).encode()):
        raise AccessError(
            "csrf_token_needed",
            "A request that acts by cookie needs the session's token.",
            suggestion="Send `csrf_token` of GET /v1/session in the header X-CSRF-Token.",
        )


def check_origin(request: Request) -> None:
    """Raises AccessError for what a page of another origin asks for.

    `Sec-Fetch-Site` is the browser's own word, whatever a proxy has made of Host. One that sends none says at least
    `Origin`; what sends neither is no browser, and brings no cookie that it was not given on purpose.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_ours = (
        site == "same-origin" if site else origin is None or urlsplit(origin).netloc == request.headers.get("host")
    )
    if not is_ours:
        raise AccessError(
            "cross_origin",
            "A page of another origin cannot act with the session of this one.",
            suggestion="Such a page needs a key of its own, sent as 'Authorization: Bearer <key>'.",
        )


async def _check(request: Request, caller: Caller, act: Act) -> None:
    """Raises AccessError for what may not be done; the audit of the account tells of it."""
    try:
        if caller.session_id is not None and request.method not in SAFE:
            check_is_ours(request, request.cookies[COOKIE])
        if (request.method, request.url.path) not in FOR_VIEWERS:
            check_may_act(caller)
    except AccessError as refused:
        deps: Deps = request.app.state.deps
        async with deps.database.transaction(caller.account_id) as db:
            await audit.refuse(db, act, refused.code)
        raise


def _acts(method: str, path: str) -> bool:
    """Whether a request changes something; so does asking how far an upload has come, for it ends who else sends."""
    return method not in SAFE or (method == "HEAD" and _RESUMES.fullmatch(path) is not None)


async def _by_key(_deps: Deps, db: Connection, header: str) -> Caller | None:
    scheme, _, key = header.partition(" ")
    return await accounts.authenticate(db, key.strip()) if scheme.lower() == "bearer" and key else None


async def _by_session(deps: Deps, db: Connection, secret: str) -> Caller | None:
    return await sessions.authenticate(db, secret, deps.settings.session_idle_s)


def _unauthenticated() -> AccessError:
    return AccessError(
        "unauthenticated",
        "This needs a valid key.",
        suggestion="Send it as 'Authorization: Bearer <key>', or log in; `python -m service account NAME` makes one.",
    )
