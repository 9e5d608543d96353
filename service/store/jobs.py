"""Jobs: submit, read, and every move of a job's life. Each move and its event are one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record, UniqueViolationError

from service.domain.dataset import columns_from_json
from service.domain.errors import NotFound, StateError, Transient
from service.domain.event import EventType
from service.domain.job import Control, Counts, Job, Outcome, Progress, State
from service.domain.processor import Column
from service.store.database import Connection
from service.store.queries import load

_SQL = load("job")


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submit has to say; the store adds state, times and the first event."""

    id: UUID
    account_id: UUID
    processor: str
    queue: str
    priority: int
    upload_id: UUID | None
    dataset_id: UUID | None
    options: Mapping[str, Any]
    metadata: Mapping[str, Any]
    unit: str
    total: int | None
    run_at: datetime | None = None
    dedupe_key: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker runs, under this epoch, until the lease is lost."""

    job_id: UUID
    account_id: UUID
    epoch: int
    attempt: int
    max_attempts: int
    processor: str
    upload_id: UUID | None
    dataset_id: UUID | None
    options: Mapping[str, Any]
    cursor: Mapping[str, Any] | None
    read: int
    control: Control | None
    table_name: str | None
    columns: tuple[Column, ...] | None


class LeaseLost(Exception):
    """Another epoch owns the job by now: whatever this one wrote must be rolled back."""


async def submit(db: Connection, job: NewJob) -> UUID:
    """Write a job and its first event; returns its id, or that of the live job with the same dedupe_key."""
    told = {"processor": job.processor, "priority": job.priority, "metadata": job.metadata}
    created: UUID | None = await db.fetchval(
        _SQL["submit"],
        job.id,
        job.account_id,
        job.processor,
        job.queue,
        job.priority,
        job.upload_id,
        job.dataset_id,
        job.options,
        job.metadata,
        job.unit,
        job.total,
        told,
        job.run_at,
        job.dedupe_key,
    )
    live: UUID | None = created or await db.fetchval(_SQL["live"], job.account_id, job.dedupe_key)
    if live is None:
        raise Transient("busy", "The job with this dedupe_key has just ended.", retry_after_s=1)
    return live


async def remember(db: Connection, account_id: UUID, key: str, fingerprint: bytes, job_id: UUID) -> UUID:
    """Bind an idempotency key to a job; returns the one it was bound to first. Raises StateError: another request."""
    if await db.fetchval(_SQL["remember"], account_id, key, fingerprint, job_id):
        return job_id
    row = await db.fetchrow(_SQL["remembered"], account_id, key)
    assert row is not None
    if row["fingerprint"] != fingerprint:
        raise StateError(
            "idempotency_key_reused",
            "This Idempotency-Key was used for a different request.",
            suggestion="Make up a new key for each request; repeat a key only to repeat the request.",
        )
    first: UUID = row["job_id"]
    return first


async def get(db: Connection, job_id: UUID) -> Job:
    """One job. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], job_id)
    if row is None:
        raise NotFound("job", job_id)
    return _job(row)


async def page(
    db: Connection, *, before: UUID | None, state: State | None, processor: str | None, limit: int
) -> list[Job]:
    """Newest first, from the one before `before`."""
    rows = await db.fetch(_SQL["list"], before, state, processor, limit)
    return [_job(row) for row in rows]


async def claim(db: Connection, queue: str, worker: str, lease_s: float) -> Claim | None:
    """Take the most urgent job of a queue, or None. Two workers never get the same one."""
    row = await db.fetchrow(_SQL["claim"], queue, worker, lease_s)
    return None if row is None else _claim(row)


async def advance(
    db: Connection,
    claim: Claim,
    *,
    cursor: Mapping[str, Any],
    done: int,
    read: int,
    inserted: int,
    rejected: int,
    rate: float | None,
) -> Control | None:
    """Move the checkpoint with the chunk that is being committed; returns what the user wants. Raises LeaseLost."""
    row = await db.fetchrow(_SQL["advance"], claim.job_id, claim.epoch, cursor, done, read, inserted, rejected, rate)
    if row is None:
        raise LeaseLost
    return _control(row)


async def wish(db: Connection, claim: Claim) -> tuple[Control | None, bool]:
    """What the user wants of a job we run, and whether a cancel takes the rows back. Raises LeaseLost.

    Both hold until the transaction ends.
    """
    row = await db.fetchrow(_SQL["wish"], claim.job_id, claim.epoch)
    if row is None:
        raise LeaseLost
    return _control(row), row["remove_rows"]


async def reset(db: Connection, claim: Claim) -> None:
    """Take a job back to its start: no checkpoint, no counts, no rejects. The rows are `datasets.remove_rows`."""
    if await db.fetchval(_SQL["reset"], claim.job_id, claim.epoch) is None:
        raise LeaseLost


async def settle(
    db: Connection,
    claim: Claim,
    state: State,
    event: EventType,
    *,
    problem: Mapping[str, str] | None = None,
    costs_attempt: bool = False,
    wait_s: float = 0,
) -> None:
    """End an attempt: the job is final, waits for its next try, or goes back to the queue. Raises LeaseLost."""
    moved = await db.fetchval(
        _SQL["settle"], claim.job_id, claim.epoch, state, problem, int(costs_attempt), wait_s, event
    )
    if moved is None:
        raise LeaseLost


async def extend_leases(
    db: Connection, held: Sequence[tuple[UUID, int]], lease_s: float
) -> dict[tuple[UUID, int], Control | None]:
    """Prolong leases given as (job id, epoch); returns those that are still ours, with what their users want."""
    ids, epochs = zip(*held, strict=True)
    rows = await db.fetch(_SQL["extend_leases"], ids, epochs, lease_s)
    return {(row["job_id"], row["epoch"]): _control(row) for row in rows}


async def cancel(db: Connection, job_id: UUID, remove_rows: bool) -> bool:
    """Ask for a cancel, or do it where no worker has the job. False if its state does not allow it."""
    return await db.fetchval(_SQL["cancel"], job_id, remove_rows) is not None


async def pause(db: Connection, job_id: UUID) -> bool:
    """Ask for a pause, or do it where no worker has the job. False if its state does not allow it."""
    return await db.fetchval(_SQL["pause"], job_id) is not None


async def resume(db: Connection, job_id: UUID) -> bool:
    """Queue a paused job, or take back a pause that no worker has obeyed yet. False if there is nothing to resume."""
    return await db.fetchval(_SQL["resume"], job_id) is not None


async def retry(db: Connection, job_id: UUID, from_start: bool) -> bool:
    """Queue a failed or cancelled job again, from its checkpoint or from the start. False for any other state.

    Raises StateError when another job with its dedupe_key is live.
    """
    try:
        return await db.fetchval(_SQL["retry"], job_id, from_start) is not None
    except UniqueViolationError as error:
        raise StateError(
            "conflict",
            "Another job with the dedupe_key of this one has not ended.",
            suggestion="Retry it once that one has ended.",
        ) from error


async def prioritize(db: Connection, job_id: UUID, priority: int) -> bool:
    """Change the priority of a job that has not ended. False if it has."""
    return await db.fetchval(_SQL["prioritize"], job_id, priority) is not None


async def remove(db: Connection, job_id: UUID) -> bool:
    """Take an ended job out of sight; what it stored stays. False if it has not ended."""
    return await db.fetchval(_SQL["remove"], job_id) is not None


async def matching(db: Connection, *, state: State | None, processor: str | None, limit: int) -> list[UUID]:
    """Ids of jobs, oldest first."""
    return [row["id"] for row in await db.fetch(_SQL["matching"], state, processor, limit)]


async def rescue(db: Connection, max_deaths: int, problem: Mapping[str, str]) -> list[UUID]:
    """Take jobs from workers whose lease ran out; one that lost `max_deaths` workers in a row fails with `problem`."""
    return [row["job_id"] for row in await db.fetch(_SQL["rescue"], max_deaths, problem)]


async def promote(db: Connection) -> list[UUID]:
    """Queue the jobs whose time has come: submitted for later, or backing off."""
    return [row["job_id"] for row in await db.fetch(_SQL["promote"])]


def _claim(row: Record) -> Claim:
    columns = None if row["columns"] is None else columns_from_json(row["columns"])
    given = {key: value for key, value in row.items() if key not in ("id", "columns", "control")}
    return Claim(job_id=row["id"], columns=columns, control=_control(row), **given)


def _control(row: Record) -> Control | None:
    return None if row["control"] is None else Control(row["control"])


def _job(row: Record) -> Job:
    return Job(
        id=row["id"],
        account_id=row["account_id"],
        processor=row["processor"],
        queue=row["queue"],
        state=State(row["state"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        priority=row["priority"],
        upload_id=row["upload_id"],
        dataset=row["dataset"],
        options=row["options"],
        metadata=row["metadata"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        event_seq=row["event_seq"],
        progress=Progress(row["done"], row["total"], row["unit"], row["phase"], row["message"], row["rate"]),
        counts=Counts(row["read"], row["inserted"], row["updated"], row["skipped"], row["rejected"]),
        problem=row["problem"],
        control=_control(row),
        cancel_requested_at=row["cancel_requested_at"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
