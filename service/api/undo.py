"""/v1/jobs/{id}/undo, and the notes on rows that a job or its undo leaves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import undo
from service.api import views, waiting
from service.api.auth import caller_of
from service.api.params import limit_of, next_cursor, number_of, uuid_of
from service.deps import Deps
from service.domain.undo import refusal
from service.store import jobs, landings, undos


async def create(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/undo: a job that takes back what this one has stored."""
    job = await undo.undo(request.app.state.deps, caller_of(request), uuid_of(request, "job"))
    return await waiting.answer(request, job, 202, {"Location": f"/v1/jobs/{job.id}"})


async def show(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}/undo: whether it could be undone now, and if not, why not."""
    deps: Deps = request.app.state.deps
    account_id = caller_of(request).account_id
    async with deps.database.transaction(account_id) as db:
        refused = refusal(await undos.look(db, account_id, uuid_of(request, "job")))
    if refused is None:
        return JSONResponse({"possible": True})
    told = {"code": refused.code, "detail": refused.message, "suggestion": refused.suggestion}
    return JSONResponse({"possible": False, **told})


async def notes(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}/notes: in row order."""
    deps: Deps = request.app.state.deps
    job_id, limit = uuid_of(request, "job"), limit_of(request)
    after = number_of(request, "cursor", default=0, low=0, high=2**63 - 1)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        await jobs.get(db, job_id)
        found = await landings.notes(db, job_id, after_row=after, limit=limit)
    following = next_cursor(found, limit, lambda note: note.row)
    return JSONResponse({"notes": [views.note(note) for note in found], "next_cursor": following})
