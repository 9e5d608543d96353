"""The worker's side of a job: claim it, move its checkpoint, settle it, all fenced by the epoch of the claim.

Each move and its event are one statement. Times are PostgreSQL's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from asyncpg import Record

from service.domain.chunk import Column
from service.domain.dataset import columns_from_json
from service.domain.event import EventType
from service.domain.job import Control, Retry, State
from service.store.database import Connection
from service.store.queries import load

_SQL = load("claim")
_LEASE = load("lease")

_Value = TypeVar("_Value")

Held = tuple[UUID, int]
"""A job as one attempt holds it: its id and epoch."""


Changed = tuple[UUID, UUID]
"""A job that has new events, and its account."""


class Claim(NamedTuple):
    """A job that this worker runs, under this epoch, until the lease is lost.

    One is made for every job: a tuple takes a quarter of the time that a frozen dataclass takes.
    """

    job_id: UUID
    account_id: UUID
    epoch: int
    attempt: int
    retry: Retry
    processor: str
    upload_id: UUID | None
    dataset_id: UUID | None
    flow_id: UUID | None
    input: Mapping[str, Any]
    options: Mapping[str, Any]
    cursor: Mapping[str, Any] | None
    read: int
    control: Control | None
    table_name: str | None
    columns: tuple[Column, ...] | None
    queue: str
    corrects_id: UUID | None

    @property
    def changed(self) -> Changed:
        """The job and its account, to tell that something happened."""
        return self.job_id, self.account_id

    @property
    def held(self) -> Held:
        """What names it among all attempts."""
        return self.job_id, self.epoch


class Settlement(NamedTuple):
    """How an attempt ends."""

    state: State
    event: EventType
    problem: Mapping[str, str] | None = None
    costs_attempt: bool = False
    wait_s: float = 0
    output: Mapping[str, Any] | None = None


class LeaseLost(Exception):
    """Another epoch owns the job by now: whatever this one wrote must be rolled back."""


async def claim(
    db: Connection, queue: str, worker: str, *, lease_s: float, most: int = 1, ageing_s: float = 600
) -> list[Claim]:
    """Take up to `most` jobs of a queue, the most urgent first: one statement, which is to be committed at once.

    Urgency is the priority, plus one for each `ageing_s` a job has waited. Inside it accounts take turns by weight, and
    limits of queue, processor and account are kept. Two workers never get the same job: claims go one at a time.
    """
    return [of_row(row) for row in await db.fetch(_SQL["claim"], queue, worker, lease_s, most, ageing_s)]


async def advance(
    db: Connection,
    claim: Claim,
    *,
    cursor: Mapping[str, Any],
    done: int,
    read: int,
    inserted: int,
    updated: int = 0,
    skipped: int = 0,
    rejected: int,
    rate: float | None,
) -> Control | None:
    """Move the checkpoint with the chunk that is being committed; returns what the user wants. Raises LeaseLost."""
    counts = (read, inserted, updated, skipped, rejected)
    row = await db.fetchrow(_SQL["advance"], claim.job_id, claim.epoch, cursor, done, *counts, rate)
    if row is None:
        raise LeaseLost
    return _control(row)


async def rows_so_far(db: Connection, claim: Claim) -> tuple[int, int]:
    """The rows that a job which we run has read, and refused of them. Raises LeaseLost."""
    row = await db.fetchrow(_SQL["rows_so_far"], claim.job_id, claim.epoch)
    if row is None:
        raise LeaseLost
    return row["read"], row["rejected"]


async def report(
    db: Connection,
    claim: Claim,
    *,
    cursor: Mapping[str, Any] | None,
    done: int,
    total: int | None,
    phase: str | None,
    message: str | None,
) -> Control | None:
    """Store how far a job without a file is; returns what the user wants. Raises LeaseLost."""
    row = await db.fetchrow(_SQL["report"], claim.job_id, claim.epoch, cursor, done, total, phase, message)
    if row is None:
        raise LeaseLost
    return _control(row)


async def remark(db: Connection, claim: Claim, remarks: Sequence[str]) -> None:
    """Have the job's output say how its file was understood; in the transaction that moves its checkpoint."""
    await db.execute(_SQL["remark"], claim.job_id, remarks)


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


async def settle(db: Connection, endings: Sequence[tuple[Claim, Settlement]]) -> dict[Held, bool]:
    """End attempts: each job is final, waits for its next try, or goes back to the queue.

    Returns those that were still ours, with whether other jobs or a flow wait for them; the lease of the rest is lost.
    """
    endings = sorted(endings, key=lambda ending: ending[0].job_id)  # the order in which everybody locks jobs
    ids, epochs = [claim.job_id for claim, _ in endings], [claim.epoch for claim, _ in endings]
    ends = [ending for _, ending in endings]
    rows = await db.fetch(
        _SQL["settle"],
        ids,
        epochs,
        _if_any([None if end.state is State.COMPLETED else end.state for end in ends]),
        _if_any([None if end.event is EventType.COMPLETED else end.event for end in ends]),
        _if_any([end.problem for end in ends]),
        [end.output for end in ends],
        _if_any([int(end.costs_attempt) for end in ends]),
        _if_any([end.wait_s for end in ends]),
    )
    return {(row["id"], row["epoch"]): row["is_awaited"] for row in rows}


async def outputs(db: Connection, claim: Claim, steps: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
    """What other steps of the job's flow have made so far, by key."""
    rows = await db.fetch(_SQL["outputs"], claim.flow_id, claim.account_id, steps)
    return {row["step"]: row["output"] for row in rows}


async def bind(db: Connection, claim: Claim, upload_id: UUID, dataset_id: UUID) -> Claim:
    """Give a job the file and dataset that it has found out; the claim with them. Raises LeaseLost."""
    row = await db.fetchrow(_SQL["bind"], claim.job_id, claim.epoch, upload_id, dataset_id)
    if row is None:
        raise LeaseLost
    columns = None if row["columns"] is None else columns_from_json(row["columns"])
    return claim._replace(upload_id=upload_id, dataset_id=dataset_id, table_name=row["table_name"], columns=columns)


async def extend_leases(db: Connection, held: Sequence[Held], lease_s: float) -> dict[Held, Control | None]:
    """Prolong leases; returns those that are still ours, with what their users want."""
    ids, epochs = zip(*held, strict=True)
    rows = await db.fetch(_LEASE["extend"], ids, epochs, lease_s)
    return {(row["job_id"], row["epoch"]): _control(row) for row in rows}


async def rescue(
    db: Connection, max_deaths: int, problem: Mapping[str, str]
) -> tuple[list[Changed], list[tuple[str, datetime]]]:
    """Take jobs from workers whose lease ran out; one that lost `max_deaths` workers in a row fails with `problem`.

    Returns the jobs, and the workers with the times at which they lost one.
    """
    rows = await db.fetch(_LEASE["rescue"], max_deaths, problem)
    return [(row["job_id"], row["account_id"]) for row in rows], [(row["worker"], row["expires_at"]) for row in rows]


async def end_transactions(db: Connection, lost: Sequence[tuple[str, datetime]]) -> int:
    """End what these workers had begun before they lost a lease, and not ended; returns the number of connections.

    A worker that was frozen while it copied rows keeps its locks otherwise, from whoever goes on with its job too.
    """
    await db.execute("set local role none")  # only who logged in may end what the same one has begun
    return int(await db.fetchval(_LEASE["end_transactions"], *zip(*lost, strict=True)))


async def promote(db: Connection, problem: Mapping[str, str]) -> tuple[list[Changed], bool]:
    """Queue the jobs whose time has come: submitted for later, backing off, or all they need has ended.

    One that needed the success of a job which did not complete fails with `problem`. Returns the jobs moved, and
    whether others wait for one of these.
    """
    rows = await db.fetch(_SQL["promote"], problem)
    return [(row["id"], row["account_id"]) for row in rows], any(row["is_needed"] for row in rows)


def of_row(row: Record) -> Claim:
    """A claim from the columns that `claim` returns."""
    columns = row["columns"]
    return Claim(
        job_id=row["id"],
        account_id=row["account_id"],
        epoch=row["epoch"],
        attempt=row["attempt"],
        retry=Retry(row["max_attempts"], row["first_wait_s"], row["longest_wait_s"], row["deadline_s"]),
        processor=row["processor"],
        upload_id=row["upload_id"],
        dataset_id=row["dataset_id"],
        flow_id=row["flow_id"],
        input=row["input"],
        options=row["options"],
        cursor=row["cursor"],
        read=row["read"],
        control=_control(row),
        table_name=row["table_name"],
        columns=None if columns is None else columns_from_json(columns),
        queue=row["queue"],
        corrects_id=row["corrects_id"],
    )


def _if_any(values: list[_Value]) -> list[_Value]:
    return values if any(values) else []  # which stands for as many nulls, and costs nothing to write and read


def _control(row: Record) -> Control | None:
    return None if row["control"] is None else Control(row["control"])
