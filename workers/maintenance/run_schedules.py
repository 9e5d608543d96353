"""Submits the jobs of schedules whose slot has come: one a slot, however many workers look at once."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from uuid import UUID

import structlog

from service.bus import Bus
from service.domain.errors import InputError, MillraceError, StateError
from service.domain.ids import new_id
from service.domain.schedule import Schedule, due_slots, first_slot
from service.store import schedules
from service.store.claims import Changed
from service.store.database import Connection, Database, savepoint
from workers.outcome import is_transient, problem

log = structlog.get_logger()

BATCH = 100


async def run_once(database: Database, bus: Bus) -> int:
    """Run what is due now; returns the number of jobs. One indexed query where nothing is due."""
    async with database.connection() as db:
        due = await schedules.due(db, BATCH)
    submitted = 0
    for schedule_id in due:
        try:
            submitted_now = await _run_one(database, schedule_id)
        except Exception as error:
            if is_transient(error):
                raise
            log.exception("schedule.broke", schedule_id=str(schedule_id))  # the others go on
            continue
        bus.notify(*submitted_now)
        submitted += len(submitted_now)
    return submitted


async def _run_one(database: Database, schedule_id: UUID) -> list[Changed]:
    async with database.transaction() as db:
        held = await schedules.hold_due(db, schedule_id)
        return [] if held is None else await _run(db, *held)


async def _run(db: Connection, schedule: Schedule, now: datetime) -> list[Changed]:
    try:
        slots, following = await asyncio.to_thread(_plan, schedule, now)
    except InputError as error:  # this machine knows the time zone no more, or reads the expression differently
        log.warning("schedule.stopped", schedule_id=str(schedule.id), code=error.code)
        await schedules.stop(db, schedule, problem(error.code, error.message, error.suggestion))
        return []
    await schedules.move_on(db, schedule, following)
    taken = [slot for slot in slots if await schedules.take(db, schedule, slot)]
    submitted = [await _submit(db, schedule, slot) for slot in taken]
    return [(job_id, schedule.account_id) for job_id in submitted if job_id is not None]


def _plan(schedule: Schedule, now: datetime) -> tuple[list[datetime], datetime | None]:
    return due_slots(schedule, now), first_slot(schedule.cron, schedule.time_zone, now)


async def _submit(db: Connection, schedule: Schedule, slot: datetime) -> UUID | None:
    """The slot's job; None if there can be none, which the schedule then says. It goes on with its next slot."""
    job_id = new_id()
    try:
        async with savepoint(db):
            live_id = await schedules.submit(db, schedule, job_id, slot)
            if live_id != job_id:
                raise _still_live(slot, live_id)
    except Exception as error:
        if is_transient(error):
            raise
        await schedules.failed(db, schedule, _told(error))
        return None
    await schedules.ran(db, schedule, job_id)
    return job_id


def _still_live(slot: datetime, live_id: UUID) -> StateError:
    return StateError(
        "still_running",
        f"The slot {slot.isoformat()} brought no job: job {live_id} is still live.",
        suggestion="Let it run less often, or allow overlaps.",
    )


def _told(error: Exception) -> dict[str, str]:
    if isinstance(error, MillraceError):
        return problem(error.code, error.message, error.suggestion)
    incident = secrets.token_hex(4)
    log.error("schedule.broke", incident=incident, exc_info=error)
    return problem(
        "internal_error",
        f"Something in Millrace broke (incident {incident}).",
        f"Search the worker's log for {incident}.",
    )
