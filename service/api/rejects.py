"""/v1/jobs/{id}/rejects: refused rows, as JSON or as a table to correct, and the way back in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from service.actions.corrections import Mended, Value, correct
from service.actions.uploads import Incoming
from service.api import waiting
from service.api.auth import caller_of
from service.api.intake import content_of
from service.api.params import choice_of, json_of, limit_of, number_of, uuid_of
from service.api.stored import arrival_of
from service.deps import Deps
from service.domain import correction
from service.store import jobs, rejects
from service.store.database import Connection
from service.store.rejects import Stored, Which

TABLE_ROWS = 100
"""Rejects that are in memory at one time while a table is sent."""
PAGE_CHARACTERS = 4 * 1024 * 1024
"""Original text after which a page of rejects ends early."""


class MendedRow(BaseModel):
    """A reject by its row, and its cells that are to be different."""

    model_config = ConfigDict(extra="forbid")

    row: int = Field(ge=1, lt=2**63)
    values: dict[str, Value] = Field(description="By the names of the file's header; other cells stay as they were.")


class CorrectionBody(BaseModel):
    """The JSON body of POST /v1/jobs/{id}/rejects."""

    model_config = ConfigDict(extra="forbid")

    rows: list[MendedRow] = Field(min_length=1, max_length=10_000)


async def index(request: Request) -> Response:
    """GET /v1/jobs/{id}/rejects?state=open|closed|all&format=json|csv: in row order."""
    deps: Deps = request.app.state.deps
    account_id = caller_of(request).account_id
    job_id, which = uuid_of(request, "job"), _which(request)
    if _wants_table(request):
        async with deps.database.transaction(account_id) as db:
            await jobs.get(db, job_id)
            names = await rejects.header(db, job_id)
        return StreamingResponse(
            _table(deps, account_id, job_id, names, which),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="rejects-{job_id}.csv"'},
        )
    limit = limit_of(request)
    after = number_of(request, "cursor", default=0, low=0, high=2**63 - 1)
    async with deps.database.transaction(account_id) as db:
        await jobs.get(db, job_id)
        columns = await rejects.header(db, job_id)
        found, is_all = await _page(db, job_id, after, limit, which)
    following = None if is_all else str(found[-1].reject.row)
    shown = [_shown(stored) for stored in found]
    return JSONResponse({"columns": columns, "rejects": shown, "next_cursor": following})


async def create(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/rejects: the table with its rows corrected, as CSV, or `{rows}` as JSON."""
    deps: Deps = request.app.state.deps
    job_id = uuid_of(request, "job")
    if _media_type(request) == "application/json":
        body = await json_of(request, CorrectionBody)
        job = await correct(deps, caller_of(request), job_id, [Mended(row.row, row.values) for row in body.rows])
    else:
        arrival = replace(arrival_of(request, {}), heeds_rules=False)
        sent = Incoming(arrival, content_of(request, deps.settings))
        job = await correct(deps, caller_of(request), job_id, sent)
    return await waiting.answer(request, job, 202, {"Location": f"/v1/jobs/{job.id}"})


async def _page(db: Connection, job_id: UUID, after: int, limit: int, which: Which) -> tuple[list[Stored], bool]:
    """Up to `limit` rejects, fewer where their rows are very long; and whether none can follow."""
    found, size = list[Stored](), 0
    while len(found) < limit and size < PAGE_CHARACTERS:
        wanted = min(TABLE_ROWS, limit - len(found))
        some = await rejects.page(db, job_id, after_row=after, limit=wanted, which=which)
        found += some
        if len(some) < wanted:
            return found, True
        after = some[-1].reject.row
        size += sum(len(stored.reject.raw) for stored in some)
    return found, False


async def _table(deps: Deps, account_id: UUID, job_id: UUID, names: list[str], which: Which) -> AsyncIterator[bytes]:
    yield correction.heading(names).encode()
    after = 0
    while True:
        async with deps.database.transaction(account_id) as db:
            found = await rejects.page(db, job_id, after_row=after, limit=TABLE_ROWS, which=which)
        if found:
            yield "".join(correction.line(stored.reject, len(names)) for stored in found).encode()
            after = found[-1].reject.row
        if len(found) < TABLE_ROWS:
            return


def _shown(stored: Stored) -> dict[str, Any]:
    shown = asdict(stored.reject)
    if not stored.reject.faults:
        shown["faults"] = [{name: shown[name] for name in ("column", "code", "message", "suggestion")}]
    closed = {
        "closed_by": stored.closed_by and str(stored.closed_by),
        "closed_at": stored.closed_at and stored.closed_at.isoformat(),
    }
    return shown | closed


def _which(request: Request) -> Which:
    match choice_of(request, "state", "open", "closed", "all"):
        case "closed":
            return "closed"
        case "all":
            return "all"
    return "open"


def _wants_table(request: Request) -> bool:
    if "format" in request.query_params:
        return choice_of(request, "format", "json", "csv") == "csv"
    accepted = request.headers.get("accept", "").lower().split(",")
    return "text/csv" in [media_type.partition(";")[0].strip() for media_type in accepted]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
