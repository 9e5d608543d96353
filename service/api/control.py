"""/v1/jobs/{id}/pause and its kin, one job or many at a time."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import control
from service.api import views
from service.api.auth import caller_of
from service.api.params import choice_of, json_of, uuid_of
from service.deps import Deps
from service.domain.errors import MillraceError
from service.domain.job import Job, State
from service.store import jobs

MAX_BATCH = 1_000


class PriorityBody(BaseModel):
    """The body of PATCH /v1/jobs/{id}."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(ge=1, le=10, description="10 is most urgent.")


class Filter(BaseModel):
    """Which jobs a batch is for, instead of their ids."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = None
    processor: str | None = None


class BatchBody(BaseModel):
    """The body of POST /v1/jobs/batch: an action, and ids or a filter."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["pause", "resume", "cancel", "retry", "delete", "priority"]
    ids: Annotated[list[UUID], Field(max_length=MAX_BATCH)] | None = None
    filter: Filter | None = None
    rows: Literal["keep", "remove"] = "keep"
    start: Literal["checkpoint", "start"] = Field("checkpoint", alias="from")
    priority: int = Field(5, ge=1, le=10)


async def pause(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/pause: stop after the chunk in hand."""
    return await _apply(request, control.pause())


async def resume(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/resume: go on from the checkpoint."""
    return await _apply(request, control.resume())


async def cancel(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/cancel?rows=keep|remove: stop for good."""
    return await _apply(request, control.cancel(remove_rows=choice_of(request, "rows", "keep", "remove") == "remove"))


async def retry(request: Request) -> JSONResponse:
    """POST /v1/jobs/{id}/retry?from=checkpoint|start: run a failed or cancelled job again."""
    return await _apply(request, control.retry(from_start=choice_of(request, "from", "checkpoint", "start") == "start"))


async def change(request: Request) -> JSONResponse:
    """PATCH /v1/jobs/{id} {priority}."""
    return await _apply(request, control.prioritize((await json_of(request, PriorityBody)).priority))


async def delete(request: Request) -> Response:
    """DELETE /v1/jobs/{id}: take an ended job out of sight; its rows stay."""
    await control.apply(request.app.state.deps, caller_of(request), uuid_of(request, "job"), control.delete())
    return Response(status_code=204)


async def batch(request: Request) -> JSONResponse:
    """POST /v1/jobs/batch {action, ids | filter}: one result a job."""
    deps: Deps = request.app.state.deps
    caller, body = caller_of(request), await json_of(request, BatchBody)
    ids = body.ids
    if ids is None:
        wanted = body.filter or Filter()
        async with deps.database.transaction(caller.account_id) as db:
            ids = await jobs.matching(db, state=wanted.state, processor=wanted.processor, limit=MAX_BATCH)
    results = await control.apply_all(deps, caller, ids, _wish(body))
    return JSONResponse({"results": [_result(job_id, became) for job_id, became in results]})


async def _apply(request: Request, wish: control.Wish) -> JSONResponse:
    job = await control.apply(request.app.state.deps, caller_of(request), uuid_of(request, "job"), wish)
    return JSONResponse(views.job(job))


def _wish(body: BatchBody) -> control.Wish:
    match body.action:
        case "pause":
            return control.pause()
        case "resume":
            return control.resume()
        case "cancel":
            return control.cancel(remove_rows=body.rows == "remove")
        case "retry":
            return control.retry(from_start=body.start == "start")
        case "delete":
            return control.delete()
        case "priority":
            return control.prioritize(body.priority)


def _result(job_id: UUID, became: Job | MillraceError) -> dict[str, Any]:
    if isinstance(became, Job):
        return {"id": str(job_id), "ok": True, "state": became.state}
    return {"id": str(job_id), "ok": False, "code": became.code, "detail": became.message}
