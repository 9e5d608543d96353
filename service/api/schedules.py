"""/v1/schedules: jobs that come again and again."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import schedules as actions
from service.actions.job_requests import JobRequest
from service.api import views
from service.api.auth import caller_of
from service.api.jobs import JobBody
from service.api.params import Name, cursor_id, json_of, limit_of, next_cursor, uuid_of, word_of
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.schedule import Missed, Overlap, Schedule, upcoming
from service.store import schedules

SHOWN_RUNS = 5

OF_THE_SCHEDULE = {"run_at", "after", "run_if"}
"""Fields of a job that a schedule decides itself."""

Cron = Annotated[str, Field(max_length=200, description="minute hour day-of-month month day-of-week")]
Zone = Annotated[str, Field(max_length=64, description="An IANA name, such as Europe/Berlin.")]


class ScheduleBody(BaseModel):
    """The body of POST /v1/schedules. `job` is that of POST /v1/jobs without `run_at`, `after` and `run_if`."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    cron: Cron
    time_zone: Zone = "UTC"
    job: JobBody
    missed: Missed = Field(Missed.RUN_ONCE, description="What becomes of slots at which no worker ran.")
    overlap: Overlap = Field(Overlap.ALLOW, description="`skip`: no job while the last one is live.")
    paused: bool = False


class ScheduleChange(BaseModel):
    """The body of PATCH /v1/schedules/{id}: what is left out stays. `job` is replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    cron: Cron | None = None
    time_zone: Zone | None = None
    job: JobBody | None = None
    missed: Missed | None = None
    overlap: Overlap | None = None
    paused: bool | None = None


async def create(request: Request) -> JSONResponse:
    """POST /v1/schedules {name, cron, time_zone, job, missed, overlap, paused}."""
    deps: Deps = request.app.state.deps
    body = await json_of(request, ScheduleBody)
    schedule = await actions.create(deps, caller_of(request), _asked(body))
    return JSONResponse(await _shown(schedule), 201, headers={"Location": f"/v1/schedules/{schedule.id}"})


async def index(request: Request) -> JSONResponse:
    """GET /v1/schedules?cursor=&limit=: newest first."""
    deps: Deps = request.app.state.deps
    limit, before = limit_of(request), cursor_id(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await schedules.page(db, before=before, limit=limit)
    following = next_cursor(found, limit, lambda item: item.id)
    return JSONResponse({"schedules": [views.schedule(s) for s in found], "next_cursor": following})


async def show(request: Request) -> JSONResponse:
    """GET /v1/schedules/{id}: also its next five runs."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        schedule = await schedules.get(db, uuid_of(request, "schedule"))
    return JSONResponse(await _shown(schedule))


async def change(request: Request) -> JSONResponse:
    """PATCH /v1/schedules/{id}: what is left out stays; {paused} pauses and resumes."""
    deps: Deps = request.app.state.deps
    schedule_id, body = uuid_of(request, "schedule"), await json_of(request, ScheduleChange)
    return JSONResponse(await _shown(await actions.change(deps, caller_of(request), schedule_id, _asked(body))))


async def delete(request: Request) -> Response:
    """DELETE /v1/schedules/{id}: its jobs stay."""
    await actions.delete(request.app.state.deps, caller_of(request), uuid_of(request, "schedule"))
    return Response(status_code=204)


async def run(request: Request) -> JSONResponse:
    """POST /v1/schedules/{id}/run: its job now, outside its slots."""
    key = word_of(request.headers.get("idempotency-key"), "idempotency_key")
    job, is_new = await actions.run(request.app.state.deps, caller_of(request), uuid_of(request, "schedule"), key)
    return JSONResponse(views.job(job), 202 if is_new else 200, headers={"Location": f"/v1/jobs/{job.id}"})


def _asked(body: ScheduleBody | ScheduleChange) -> actions.ScheduleRequest:
    return actions.ScheduleRequest(
        name=body.name,
        cron=body.cron,
        time_zone=body.time_zone,
        job=None if body.job is None else _job(body.job),
        upload_id=_upload_id(body.job),
        missed=body.missed,
        overlap=body.overlap,
        paused=body.paused,
    )


def _job(body: JobBody) -> JobRequest:
    if given := OF_THE_SCHEDULE & body.model_fields_set:
        raise InputError(
            "invalid_request",
            f"The request does not fit: job.{min(given)}: a schedule decides that itself.",
            suggestion="Leave it out.",
        )
    return body.request()


def _upload_id(body: JobBody | None) -> UUID | None:
    return None if body is None else body.upload_id


async def _shown(schedule: Schedule) -> views.Json:
    """The schedule with its next runs; a rare slot takes a while to find, so a thread looks."""
    runs = await asyncio.to_thread(upcoming, schedule, SHOWN_RUNS)
    return views.schedule(schedule) | {"next_runs": views.runs(runs, schedule.time_zone)}
