"""/v1/audit: who did what in the account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api.auth import caller_of
from service.api.params import cursor_id, limit_of, moment_of, next_cursor
from service.deps import Deps
from service.domain.errors import InputError
from service.store import audit
from service.store.audit import Entry


async def index(request: Request) -> JSONResponse:
    """GET /v1/audit?key=&about=&from=&to=: newest first, with the head of the chain that they make."""
    deps: Deps = request.app.state.deps
    caller, limit = caller_of(request), limit_of(request)
    async with deps.database.transaction(caller.account_id) as db:
        found = await audit.page(
            db,
            before=cursor_id(request),
            key_id=_key(request),
            about=request.query_params.get("about"),
            start=moment_of(request, "from"),
            end=moment_of(request, "to"),
            limit=limit,
        )
        head = await audit.head(db, caller.account_id)
    following = next_cursor(found, limit, lambda entry: entry.id)
    shown_head = None if head is None else {"no": head[0], "hash": head[1].hex()}
    return JSONResponse({"entries": [_entry(e) for e in found], "head": shown_head, "next_cursor": following})


def _key(request: Request) -> UUID | None:
    given = request.query_params.get("key")
    try:
        return None if given is None else UUID(given)
    except ValueError:
        raise InputError("invalid_filter", f"{given!r} is no id of a key.", suggestion="See GET /v1/keys.") from None


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "no": entry.no,
        "at": entry.at.isoformat(),
        "key": None if entry.key_id is None else {"id": str(entry.key_id), "name": entry.key_name},
        "session_id": entry.session_id and str(entry.session_id),
        "request_id": entry.request_id,
        "action": entry.action,
        "targets": [str(target) for target in entry.targets],
        "outcome": entry.outcome,
        "hash": entry.hash and entry.hash.hex(),
    }
