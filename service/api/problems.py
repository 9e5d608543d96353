"""Every error as `application/problem+json` (RFC 9457). The only place that knows HTTP statuses."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from service.domain.errors import AccessError, InputError, MillraceError, QuotaError, StateError, TooLarge, Transient
from service.domain.recognition import Unrecognised
from service.store.database import CLASHED, UNREACHABLE, UNSTORABLE

log = structlog.get_logger()

STATUS_BY_CODE = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_processor": 422,
    "upload_timeout": 408,
    "upload_gone": 410,
    "unsupported_type": 415,
    "unsupported_coding": 415,
    "wrong_content_type": 415,
    "unsupported_version": 412,
    "checksum_mismatch": 460,  # tus has it so
    "digest_mismatch": 400,
    "upload_complete": 400,  # so has the IETF's draft
    "final_upload": 403,
    "invalid_digest": 400,
    "invalid_header": 400,
    "invalid_multipart": 400,
    "inconsistent_length": 400,
    "disk_full": 507,
}
STATUS_BY_KIND: tuple[tuple[type[MillraceError], int], ...] = (
    (TooLarge, 413),
    (InputError, 422),
    (AccessError, 403),
    (StateError, 409),
    (QuotaError, 429),
    (Transient, 503),
)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    suggestion: str | None = None,
    headers: dict[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> JSONResponse:
    """A problem document; `type` is stable and named after the code."""
    title = "Checksum Mismatch" if status == 460 else HTTPStatus(status).phrase
    body: dict[str, object] = {"type": f"/problems/{code}", "title": title, "status": status, "detail": detail}
    body |= {"code": code} | ({"suggestion": suggestion} if suggestion else {}) | dict(more or {})
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


async def known(_request: Request, error: Exception, more: Mapping[str, object] | None = None) -> Response:
    """An error that Millrace raises on purpose; `more` are members that a protocol adds."""
    assert isinstance(error, MillraceError)
    status = STATUS_BY_CODE.get(error.code) or next(s for kind, s in STATUS_BY_KIND if isinstance(error, kind))
    headers = {}
    if isinstance(error, (Transient, QuotaError)) and error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="millrace"'
    if status == 408:
        headers["Connection"] = "close"
    if error.code == "unsupported_coding":
        headers["Accept-Encoding"] = "identity"
    if isinstance(error, Unrecognised):
        more = {**(more or {}), "candidates": error.candidates}
    return problem(status, error.code, error.message, suggestion=error.suggestion, headers=headers, more=more)


async def away(_request: Request, error: Exception) -> Response:
    """The database is away: nobody's fault, worth another try."""
    log.warning("database.away", error=repr(error))
    return problem(503, "busy", "The database is away at the moment.", headers={"Retry-After": "2"})


async def clashed(_request: Request, error: Exception) -> Response:
    """Two requests were in each other's way, and this one gave way."""
    log.warning("database.clashed", error=repr(error))
    return problem(503, "busy", "Another request was in the way of this one.", headers={"Retry-After": "1"})


async def unstorable(_request: Request, error: Exception) -> Response:
    """A value that PostgreSQL has no form for."""
    log.warning("request.unstorable", error=type(error).__name__)
    return problem(
        422,
        "invalid_value",
        "A value in this request cannot be stored or compared.",
        suggestion="Remove NUL characters, unpaired surrogates, NaN and infinities from names, filters and metadata.",
    )


async def http(_request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return problem(
        error.status_code,
        code,
        f"{error.detail}.",
        suggestion="The paths are listed at /openapi.json." if error.status_code == 404 else None,
        headers=dict(error.headers or {}),
    )


async def bug(_request: Request, error: Exception) -> Response:
    """Anything else: the trace goes to the log, the client gets a number to name it by."""
    incident = secrets.token_hex(4)
    log.error("request.broke", incident=incident, exc_info=error)
    return problem(500, "internal_error", f"Something in Millrace broke (incident {incident}).")


async def gone(_request: Request, _error: Exception) -> Response:
    """The client hung up; nobody reads this answer."""
    return Response(status_code=499)


HANDLERS = {
    MillraceError: known,
    HTTPException: http,
    ClientDisconnect: gone,
    CLASHED: clashed,
    UNSTORABLE: unstorable,
    Exception: bug,
} | dict.fromkeys(UNREACHABLE, away)
