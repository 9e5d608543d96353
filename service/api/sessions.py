"""/v1/session: a page logs in with a key, and has a cookie from then on that no script can read."""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import access
from service.api.auth import COOKIE, caller_of, check_origin, request_id_of
from service.api.limits import Buckets
from service.api.params import json_of
from service.deps import Deps
from service.domain.errors import AccessError, QuotaError
from service.store import sessions
from service.store.accounts import Caller

TRIES_AT_ONCE = 10
TRIES_A_SECOND = 0.2
"""Of log-ins that fail, from one address; one that succeeds costs none."""

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Where browsers trust plain HTTP with a Secure cookie."""

log = structlog.get_logger()


class LogInBody(BaseModel):
    """The body of POST /v1/session."""

    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=200)


async def create(request: Request) -> JSONResponse:
    """POST /v1/session {key}: log in. The answer sets the cookie, and tells the token for requests that act."""
    deps: Deps = request.app.state.deps
    check_origin(request)
    _check_cookie_would_stay(request)
    body = await json_of(request, LogInBody)
    address = request.client.host if request.client else ""
    tries: Buckets = request.app.state.failed_log_ins
    _check_tries(tries, address)
    try:
        caller, secret = await access.log_in(deps, body.key.get_secret_value().strip(), request_id_of(request))
    except AccessError:
        tries.take(address, TRIES_A_SECOND, TRIES_AT_ONCE)
        log.warning("session.refused", address=address)
        raise
    answer = await _shown(deps, caller, secret, 201)
    answer.set_cookie(
        COOKIE, secret, max_age=int(deps.settings.session_s), path="/", secure=True, httponly=True, samesite="strict"
    )
    return answer


async def show(request: Request) -> JSONResponse:
    """GET /v1/session: account, role and key of the caller; of a session also its end and its token."""
    caller = caller_of(request)
    secret = request.cookies.get(COOKIE) if caller.session_id else None
    return await _shown(request.app.state.deps, caller, secret, 200)


async def delete(request: Request) -> Response:
    """DELETE /v1/session: log out."""
    await access.log_out(request.app.state.deps, caller_of(request))
    if forget := request.scope.get("forget"):
        forget()
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


async def _shown(deps: Deps, caller: Caller, secret: str | None, status: int) -> JSONResponse:
    async with deps.database.transaction(caller.account_id) as db:
        shown = await sessions.show(db, caller)
    told = {
        "account": shown.account,
        "role": shown.role,
        "key": {"id": str(shown.key_id), "name": shown.key_name},
        "expires_at": shown.expires_at and shown.expires_at.isoformat(),
        "idle_s": deps.settings.session_idle_s if secret else None,
        "csrf_token": sessions.csrf_token(secret) if secret else None,
    }
    return JSONResponse(told, status, headers={"Cache-Control": "no-store"})


def _check_tries(tries: Buckets, address: str) -> None:
    left = tries.left(address, TRIES_A_SECOND, TRIES_AT_ONCE)
    if left < 1:
        raise QuotaError(
            "rate_limited",
            "Too many log-ins from this address have failed.",
            suggestion="Check the key, and wait as long as Retry-After says.",
            retry_after_s=(1 - left) / TRIES_A_SECOND,
        )


def _check_cookie_would_stay(request: Request) -> None:
    """A browser throws the cookie away that comes over plain HTTP from elsewhere than its own machine."""
    origin = urlsplit(request.headers.get("origin", ""))
    host = origin.hostname or ""
    if origin.scheme == "http" and host not in LOCAL and not host.endswith(".localhost"):
        raise AccessError(
            "https_needed",
            f"Browsers keep no session of {host} over plain HTTP.",
            suggestion="Put a proxy with TLS in front, open the page as http://localhost, or send the key as "
            "'Authorization: Bearer <key>'.",
        )
