"""/v1/jobs: queue, look, list, rejects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import jobs as actions
from service.api import views, waiting
from service.api.auth import caller_of
from service.api.params import cursor_id, json_of, limit_of, number_of, uuid_of, word_of
from service.deps import Deps
from service.domain.errors import InputError, NotFound
from service.domain.job import Job, State
from service.store import jobs, rejects


class JobBody(BaseModel):
    """The body of POST /v1/jobs."""

    model_config = ConfigDict(extra="forbid")

    processor: str
    upload_id: UUID
    dataset: str
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10, description="10 is most urgent.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    run_at: AwareDatetime | None = Field(None, description="Not before this moment.")
    dedupe_key: str | None = Field(None, min_length=1, max_length=200, description="Joins a live job with this key.")


async def create(request: Request) -> JSONResponse:
    """POST /v1/jobs over a stored upload."""
    deps: Deps = request.app.state.deps
    body = await json_of(request, JobBody)
    asked = actions.JobRequest(
        **body.model_dump(exclude={"upload_id"}),
        idempotency_key=word_of(request.headers.get("idempotency-key"), "idempotency_key"),
    )
    job, is_new = await actions.submit(deps, caller_of(request), body.upload_id, asked)
    return await waiting.answer(request, job, 202 if is_new else 200, {"Location": f"/v1/jobs/{job.id}"})


async def show(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}."""
    return await waiting.answer(request, await _job(request), 200)


async def show_in_queue(request: Request) -> JSONResponse:
    """GET /v1/queues/{queue}/jobs/{id}: the same, if the job is of that queue."""
    job = await _job(request)
    if job.queue != request.path_params["queue"]:
        raise NotFound("job of this queue", job.id)
    return await waiting.answer(request, job, 200)


async def index(request: Request) -> JSONResponse:
    """GET /v1/jobs?state=&processor=&cursor=&limit=: newest first."""
    deps: Deps = request.app.state.deps
    limit, before, state = limit_of(request), cursor_id(request), _state(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await jobs.page(
            db, before=before, state=state, processor=request.query_params.get("processor"), limit=limit
        )
    following = str(found[-1].id) if len(found) == limit else None
    return JSONResponse({"jobs": [views.job(j) for j in found], "next_cursor": following})


async def rejected(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}/rejects: in row order."""
    deps: Deps = request.app.state.deps
    job_id, limit = uuid_of(request, "job"), limit_of(request)
    after = number_of(request, "cursor", default=0, low=0, high=2**63 - 1)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        await jobs.get(db, job_id)
        found = await rejects.page(db, job_id, after_row=after, limit=limit)
    following = str(found[-1].row) if len(found) == limit else None
    return JSONResponse({"rejects": [asdict(r) for r in found], "next_cursor": following})


async def _job(request: Request) -> Job:
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return await jobs.get(db, uuid_of(request, "job"))


def _state(request: Request) -> State | None:
    given = request.query_params.get("state")
    if given is None:
        return None
    if given in set(State):
        return State(given)
    raise InputError("invalid_state", f"{given!r} is no state.", suggestion=f"Use one of: {', '.join(State)}.")
