"""Schedules, the slots that workers have taken, and the one place that makes a job of a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import asyncpg
from asyncpg import Record

from service.domain.errors import NotFound, StateError
from service.domain.schedule import Missed, Overlap, Schedule, template_from_json, template_to_json
from service.store import datasets, jobs, uploads
from service.store.database import Connection
from service.store.queries import load

_SQL = load("schedule")


async def now(db: Connection) -> datetime:
    """The time of this transaction: schedules go by PostgreSQL's clock only."""
    moment: datetime = await db.fetchval(_SQL["now"])
    return moment


async def add(db: Connection, schedule: Schedule) -> None:
    """Write a new schedule. Raises StateError: its name is taken."""
    with _name_free(schedule.name):
        await db.execute(_SQL["add"], schedule.id, schedule.account_id, *_settable(schedule))


async def change(db: Connection, schedule: Schedule) -> None:
    """Write what a user may set of a schedule, and its next slot. Raises StateError: its name is taken."""
    with _name_free(schedule.name):
        await db.execute(_SQL["change"], schedule.id, *_settable(schedule))


async def count(db: Connection) -> int:
    """How many the account has."""
    found: int = await db.fetchval(_SQL["count"])
    return found


async def get(db: Connection, schedule_id: UUID) -> Schedule:
    """One schedule. Raises NotFound."""
    return _found(await db.fetchrow(_SQL["get"], schedule_id), schedule_id)


async def hold(db: Connection, schedule_id: UUID) -> Schedule:
    """One schedule, held until the transaction ends. Raises NotFound."""
    return _found(await db.fetchrow(_SQL["hold"], schedule_id), schedule_id)


async def page(db: Connection, *, before: UUID | None, limit: int) -> list[Schedule]:
    """Newest first, from the one before `before`."""
    return [_schedule(row) for row in await db.fetch(_SQL["list"], before, limit)]


async def remove(db: Connection, schedule_id: UUID) -> None:
    """Delete a schedule; its jobs stay. Raises NotFound."""
    if await db.fetchval(_SQL["remove"], schedule_id) is None:
        raise NotFound("schedule", schedule_id)


async def due(db: Connection, limit: int) -> list[UUID]:
    """Ids of schedules whose next slot has come, the longest waiting first."""
    return [row["id"] for row in await db.fetch(_SQL["due"], limit)]


async def hold_due(db: Connection, schedule_id: UUID) -> tuple[Schedule, datetime] | None:
    """A due schedule, held until the transaction ends, and PostgreSQL's time; None if another worker was quicker."""
    row = await db.fetchrow(_SQL["hold_due"], schedule_id)
    return None if row is None else (_schedule(row), row["now"])


async def move_on(db: Connection, schedule: Schedule, next_run_at: datetime | None) -> None:
    """Set the next slot, and forget slots so old that they cannot come again."""
    await db.execute(_SQL["move_on"], schedule.id, next_run_at)
    await db.execute(_SQL["forget_slots"], schedule.id)


async def stop(db: Connection, schedule: Schedule, problem: Mapping[str, str]) -> None:
    """Pause a schedule whose slots cannot be told any more."""
    await db.execute(_SQL["stop"], schedule.id, problem)


async def take(db: Connection, schedule: Schedule, slot: datetime) -> bool:
    """Claim a slot for the job of this transaction. False if it was taken before."""
    return await db.fetchval(_SQL["take"], schedule.id, schedule.account_id, slot) is not None


async def submit(db: Connection, schedule: Schedule, job_id: UUID, slot: datetime | None) -> UUID:
    """Write the job of a slot, or of none; returns its id, or that of the live job that it would overlap or joins.

    Raises NotFound: the upload is gone; Transient.
    """
    template = schedule.job
    origin = {"id": str(schedule.id), "name": schedule.name} | ({} if slot is None else {"slot": slot.isoformat()})
    alone = f"schedule:{schedule.id}" if schedule.overlap is Overlap.SKIP else None
    dataset_id = None
    if template.dataset is not None:
        dataset_id = await datasets.ensure(db, schedule.account_id, template.dataset)
    return await jobs.submit(
        db,
        jobs.NewJob(
            id=job_id,
            account_id=schedule.account_id,
            processor=template.processor,
            queue=template.queue,
            priority=template.priority,
            upload_id=template.upload_id,
            dataset_id=dataset_id,
            input=template.input,
            options=template.options,
            metadata={**template.metadata, "schedule": origin},
            unit=template.unit,
            total=await _size_bytes(db, schedule),
            dedupe_key=template.dedupe_key or alone,
            retry=template.retry,
        ),
    )


async def _size_bytes(db: Connection, schedule: Schedule) -> int | None:
    upload_id = schedule.job.upload_id
    if upload_id is None:
        return None
    stored = await uploads.get(db, upload_id)
    if stored.account_id != schedule.account_id:  # workers see every account
        raise NotFound("upload", upload_id)
    return stored.size_bytes


async def ran(db: Connection, schedule: Schedule, job_id: UUID) -> None:
    """Note the job that was submitted."""
    await db.execute(_SQL["ran"], schedule.id, job_id)


async def failed(db: Connection, schedule: Schedule, problem: Mapping[str, str]) -> None:
    """Note why a slot brought no job."""
    await db.execute(_SQL["failed"], schedule.id, problem)


@contextmanager
def _name_free(name: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise StateError(
            "conflict",
            f"There is a schedule named {name!r} already.",
            suggestion="Choose another name, or change that schedule with PATCH.",
        ) from error


def _settable(schedule: Schedule) -> tuple[object, ...]:
    return (
        schedule.name,
        schedule.cron,
        schedule.time_zone,
        template_to_json(schedule.job),
        schedule.missed,
        schedule.overlap,
        schedule.paused,
        schedule.next_run_at,
    )


def _found(row: Record | None, schedule_id: UUID) -> Schedule:
    if row is None:
        raise NotFound("schedule", schedule_id)
    return _schedule(row)


def _schedule(row: Record) -> Schedule:
    return Schedule(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        cron=row["cron"],
        time_zone=row["time_zone"],
        job=template_from_json(row["job"]),
        missed=Missed(row["missed"]),
        overlap=Overlap(row["overlap"]),
        paused=row["paused"],
        next_run_at=row["next_run_at"],
        last_run_at=row["last_run_at"],
        last_job_id=row["last_job_id"],
        last_problem=row["last_problem"],
        created_at=row["created_at"],
    )
