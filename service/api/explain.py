"""/v1/jobs/{id}/explain and /v1/jobs/{id}/attempts: why a job stands where it stands, and what was tried."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api.auth import caller_of
from service.api.params import limit_of, next_cursor, number_of, uuid_of
from service.deps import Deps
from service.domain.explain import Explanation, explain
from service.domain.job import State
from service.store import attempts, jobs
from service.store import explain as store

Json = dict[str, Any]


async def show(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}/explain: why it stands where it stands, and what to do."""
    deps: Deps = request.app.state.deps
    job_id = uuid_of(request, "job")
    # The job and what surrounds it as of one moment: else a worker may take it in between.
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        job = await jobs.get(db, job_id)
        around = await store.circumstances(db, job_id)
    return JSONResponse(_explanation(job.state, explain(job, around)))


async def timeline(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}/attempts: who ran it, from when to when, oldest first."""
    deps: Deps = request.app.state.deps
    job_id, limit = uuid_of(request, "job"), limit_of(request)
    after = number_of(request, "cursor", default=0, low=0, high=2**31 - 1)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        await jobs.get(db, job_id)
        found = await attempts.page(db, job_id, after_epoch=after, limit=limit)
    following = next_cursor(found, limit, lambda item: item.epoch)
    return JSONResponse({"attempts": [_attempt(a) for a in found], "next_cursor": following})


def _explanation(state: State, said: Explanation) -> Json:
    where_known = {
        "position": said.position,
        "ahead": said.ahead,
        "run_at": said.run_at and said.run_at.isoformat(),
        "problem": said.problem,
        "jobs": [{"id": str(o.id), "state": o.state, "step": o.step} for o in said.jobs] or None,
    }
    return {
        "state": state,
        "reason": said.reason,
        "message": said.message,
        "suggestion": said.suggestion,
    } | {name: value for name, value in where_known.items() if value is not None}


def _attempt(tried: attempts.Attempt) -> Json:
    return {
        "number": tried.number,
        "epoch": tried.epoch,
        "worker": tried.worker,
        "started_at": tried.started_at.isoformat(),
        "ended_at": tried.ended_at and tried.ended_at.isoformat(),
        "duration_s": tried.duration_s,
        "result": tried.result,
    }
