"""Make, change and delete schedules, and run one now."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from service.actions.job_requests import JobRequest, check_upload, prepare
from service.actions.jobs import Replayed, written
from service.deps import Deps
from service.domain.errors import InputError, QuotaError
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.processor import Processor
from service.domain.schedule import (
    EXAMPLE,
    MAX_SCHEDULES,
    Missed,
    Overlap,
    Schedule,
    Template,
    checked_cron,
    checked_zone,
    first_slot,
)
from service.store import acting, jobs, schedules, uploads
from service.store.accounts import Caller
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """What a caller wants of a schedule, unchecked; None in a change leaves things as they are."""

    name: str | None
    cron: str | None
    time_zone: str | None
    job: JobRequest | None
    upload_id: UUID | None
    missed: Missed | None
    overlap: Overlap | None
    paused: bool | None


async def create(deps: Deps, caller: Caller, request: ScheduleRequest) -> Schedule:
    """Make a schedule; its first slot lies ahead.

    Raises InputError, NotFound (upload), StateError (name), QuotaError.
    """
    wanted = _checked(deps.catalog, request)
    async with deps.database.transaction(caller.account_id) as db:
        if await schedules.count(db) >= MAX_SCHEDULES:
            raise QuotaError(
                "quota_exceeded",
                f"This account has {MAX_SCHEDULES} schedules, which is the limit.",
                suggestion="Delete some that are not needed any more.",
            )
        now = await schedules.now(db)
        fresh = Schedule(
            id=new_id(),
            account_id=caller.account_id,
            **wanted,
            next_run_at=None,
            last_run_at=None,
            last_job_id=None,
            last_problem=None,
            created_at=now,
        )
        schedule = await _timed(fresh, now)
        await _check_there(db, schedule)
        await schedules.add(db, schedule)
        acting.about(schedule.id)
    return schedule


async def change(deps: Deps, caller: Caller, schedule_id: UUID, request: ScheduleRequest) -> Schedule:
    """Change what is given. A new time or an end of a pause counts from now on: what lay before is not missed.

    Raises NotFound, InputError, StateError (name).
    """
    wanted = _checked(deps.catalog, request)
    async with deps.database.transaction(caller.account_id) as db:
        before = await schedules.hold(db, schedule_id)
        schedule = replace(before, **wanted)
        if _time_of(schedule) != _time_of(before):
            schedule = await _timed(schedule, await schedules.now(db))
        if request.job is not None:
            await _check_there(db, schedule)
        await schedules.change(db, schedule)
    return schedule


async def delete(deps: Deps, caller: Caller, schedule_id: UUID) -> None:
    """Delete a schedule; jobs that it has started stay. Raises NotFound."""
    async with deps.database.transaction(caller.account_id) as db:
        await schedules.remove(db, schedule_id)


async def run(deps: Deps, caller: Caller, schedule_id: UUID, idempotency_key: str | None) -> tuple[Job, bool]:
    """Queue its job now, outside its slots, paused or not; also whether the job is new. Raises NotFound, StateError."""
    job_id = new_id()

    async def write(db: Connection) -> UUID:
        schedule = await schedules.hold(db, schedule_id)
        live_id = await schedules.submit(db, schedule, job_id, None)
        if idempotency_key is not None:
            asked = hashlib.sha256(b"run schedule" + schedule_id.bytes).digest()
            first = await jobs.remember(db, caller.account_id, idempotency_key, asked, live_id)
            if first != live_id:
                raise Replayed(first)
        if live_id == job_id:
            await schedules.ran(db, schedule, job_id)
        return live_id

    return await written(deps, caller, job_id, write)


def _checked(catalog: Mapping[str, Processor], request: ScheduleRequest) -> dict[str, Any]:
    """What is given, by the names of Schedule's fields."""
    template = None
    if request.job is not None:
        template = _template(catalog, request.job, request.upload_id)
    wanted = {
        "name": request.name,
        "cron": None if request.cron is None else checked_cron(request.cron),
        "time_zone": None if request.time_zone is None else checked_zone(request.time_zone),
        "job": template,
        "missed": request.missed,
        "overlap": request.overlap,
        "paused": request.paused,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _template(catalog: Mapping[str, Processor], asked: JobRequest, upload_id: UUID | None) -> Template:
    """The checked job, with all that a worker needs to submit it without the catalogue."""
    prepared = prepare(catalog, asked)
    check_upload(prepared.processor, upload_id)
    return Template(
        processor=prepared.processor.name,
        queue=prepared.processor.queue,
        unit=prepared.processor.unit,
        upload_id=upload_id,
        dataset=prepared.dataset,
        options=prepared.options.model_dump(mode="json", exclude_unset=True),
        priority=asked.priority,
        metadata=asked.metadata,
        dedupe_key=asked.dedupe_key,
        input=asked.input,
        retry=replace(prepared.processor.retry, **asked.retry),
    )


async def _check_there(db: Connection, schedule: Schedule) -> None:
    if schedule.job.upload_id is not None:
        await uploads.get(db, schedule.job.upload_id)


def _time_of(schedule: Schedule) -> tuple[object, ...]:
    return schedule.cron, schedule.time_zone, schedule.paused


async def _timed(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule with its first slot from now on. Raises InputError if there is none."""
    first = await asyncio.to_thread(first_slot, schedule.cron, schedule.time_zone, now)
    if first is None:
        raise InputError("invalid_cron", f"{schedule.cron!r} names no moment of the next 50 years.", suggestion=EXAMPLE)
    return replace(schedule, next_run_at=None if schedule.paused else first)
