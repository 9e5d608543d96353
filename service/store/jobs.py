"""Jobs: submit, read, and every move of a job's life. Each move and its event are one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.dataset import columns_from_json
from service.domain.errors import NotFound
from service.domain.event import EventType
from service.domain.job import Counts, Job, Outcome, Progress, State
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
    table_name: str | None
    columns: tuple[Column, ...] | None


class LeaseLost(Exception):
    """Another epoch owns the job by now: whatever this one wrote must be rolled back."""


async def submit(db: Connection, job: NewJob) -> None:
    """Write a queued job and its first event."""
    told = {"processor": job.processor, "priority": job.priority, "metadata": job.metadata}
    await db.execute(
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
    )


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


async def claim(db: Connection, queues: Sequence[str], worker: str, lease_s: float) -> Claim | None:
    """Take the most urgent queued job, or None. Two workers never get the same one."""
    row = await db.fetchrow(_SQL["claim"], queues, worker, lease_s)
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
) -> int:
    """Move the checkpoint with the chunk that is being committed; returns the event's number. Raises LeaseLost."""
    seq: int | None = await db.fetchval(
        _SQL["advance"], claim.job_id, claim.epoch, cursor, done, read, inserted, rejected, rate
    )
    if seq is None:
        raise LeaseLost
    return seq


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


async def extend_leases(db: Connection, held: Sequence[tuple[UUID, int]], lease_s: float) -> set[tuple[UUID, int]]:
    """Prolong leases given as (job id, epoch); returns those that are still ours."""
    ids, epochs = zip(*held, strict=True)
    rows = await db.fetch(_SQL["extend_leases"], ids, epochs, lease_s)
    return {(row["job_id"], row["epoch"]) for row in rows}


async def rescue(db: Connection, max_deaths: int, problem: Mapping[str, str]) -> list[UUID]:
    """Take jobs from workers whose lease ran out; one that lost `max_deaths` workers in a row fails with `problem`."""
    return [row["job_id"] for row in await db.fetch(_SQL["rescue"], max_deaths, problem)]


async def promote(db: Connection) -> list[UUID]:
    """Queue the retrying jobs whose back-off is over."""
    return [row["job_id"] for row in await db.fetch(_SQL["promote"])]


def _claim(row: Record) -> Claim:
    columns = None if row["columns"] is None else columns_from_json(row["columns"])
    given = {key: value for key, value in row.items() if key not in ("id", "columns")}
    return Claim(job_id=row["id"], columns=columns, **given)


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
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
