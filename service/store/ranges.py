"""The ledger of a large file that several connections, of several workers, read at the same time: one row a range.

A range is taken under a lease of its own and fenced twice: by the job's epoch and by the range's turn. Every statement
locks the job before its ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.job import Control
from service.domain.processor import Cut
from service.store import claims
from service.store.claims import Claim, Held, LeaseLost
from service.store.database import Connection
from service.store.queries import load

_SQL = load("range")


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a job's input as one worker has taken it: read on from `cursor` up to byte `stop`, the end if None."""

    ordinal: int
    turn: int
    first_row: int
    cursor: Mapping[str, Any]
    done: int
    stop: int | None
    read: int


class RangeLost(Exception):
    """Another worker has the range by now: whatever this one wrote must be rolled back."""


async def resume(db: Connection, claim: Claim) -> bool:
    """Take the ranges from whoever had them under an earlier epoch; whether the job has any."""
    return bool(await db.fetchval(_SQL["resume"], *claim.held))


async def begin(db: Connection, claim: Claim) -> None:
    """Make one range of all that is left, to be cut. Raises LeaseLost."""
    if await db.fetchval(_SQL["begin"], *claim.held) is None:
        raise LeaseLost


async def uncut(db: Connection, job_id: UUID) -> Range | None:
    """The last range, if it is still to be cut."""
    row = await db.fetchrow(_SQL["uncut"], job_id)
    return None if row is None else Range(**row)


async def cut(db: Connection, claim: Claim, ordinal: int, at: Cut) -> int:
    """Cut the last range; the number of the one that is the last now. Raises LeaseLost."""
    last: int | None = await db.fetchval(_SQL["cut"], *claim.held, ordinal, at.offset, at.row, at.cursor)
    if last is None:
        raise LeaseLost
    return last


async def close(db: Connection, claim: Claim) -> None:
    """Let the last range be read as it is."""
    await db.execute(_SQL["close"], *claim.held)


async def take(
    db: Connection, claim: Claim, worker: str, lease_s: float, *, unless_waits: str | None = None
) -> Range | None:
    """The first range that nobody reads, for this worker; None if there is none, or a job waits in that queue."""
    row = await db.fetchrow(_SQL["take"], *claim.held, worker, lease_s, unless_waits)
    return None if row is None else Range(**row)


async def left(db: Connection, job_id: UUID) -> int:
    """How many ranges are not read to their end."""
    return int(await db.fetchval(_SQL["left"], job_id))


async def extend_leases(db: Connection, claim: Claim, held: Iterable[Range], lease_s: float) -> bool:
    """Prolong the leases of those ranges that are still ours; whether the job is still ours and its user wants it."""
    keys = [(one.ordinal, one.turn) for one in held]
    ordinals, turns = [ordinal for ordinal, _ in keys], [turn for _, turn in keys]
    return bool(await db.fetchval(_SQL["extend_leases"], *claim.held, ordinals, turns, lease_s))


async def advance(
    db: Connection,
    claim: Claim,
    taken: Range,
    *,
    cursor: Mapping[str, Any],
    stepped: int,
    counts: Sequence[int],
) -> Control | None:
    """Move a range's checkpoint by `stepped` units, with the chunk that is being committed; what the user wants.

    `counts` are rows read, inserted, updated, skipped and rejected. Raises LeaseLost, RangeLost.
    """
    row = await db.fetchrow(_SQL["advance"], *claim.held, taken.ordinal, taken.turn, cursor, stepped, *counts)
    if row is None:
        raise LeaseLost
    if not row["is_ours"]:
        raise RangeLost
    return _control(row)


async def finish(db: Connection, claim: Claim, taken: Range) -> None:
    """A range is read to its end. Raises RangeLost."""
    if await db.fetchval(_SQL["finish"], *claim.held, taken.ordinal, taken.turn) is None:
        raise RangeLost


async def release(db: Connection, claim: Claim, taken: Range) -> None:
    """Let another worker read on."""
    await db.execute(_SQL["release"], claim.job_id, taken.ordinal, taken.turn)


async def is_wanted(db: Connection, job_id: UUID) -> bool:
    """Whether another worker has asked for a part of the job."""
    return bool(await db.fetchval(_SQL["is_wanted"], job_id))


async def find(
    db: Connection, queue: str, processors: Sequence[str], worker: str, avoided: Iterable[Held]
) -> Claim | None:
    """A job of another worker that has a range to give away, as that worker claimed it."""
    pairs = list(avoided)
    ids, epochs = [job_id for job_id, _ in pairs], [epoch for _, epoch in pairs]
    row = await db.fetchrow(_SQL["find"], queue, processors, worker, ids, epochs)
    return None if row is None else claims.of_row(row)


async def ask(db: Connection, queue: str, processors: Sequence[str], worker: str, least: int) -> bool:
    """Ask another worker to share a job with more than `least` units left; whether there is such a job."""
    return await db.fetchval(_SQL["ask"], queue, processors, worker, least) is not None


def _control(row: Record) -> Control | None:
    return None if row["control"] is None else Control(row["control"])
