"""Statistics of an account's jobs: live numbers, and those of ended jobs rolled up by the hour."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from service.domain.job import State
from service.domain.stats import Ended, Failures, Live, Point, RunClass, Span
from service.store.database import Connection
from service.store.queries import load

_SQL = load("job_stat")


async def roll_up(db: Connection, limit: int) -> int:
    """Count at most `limit` ends of jobs that are not counted yet; returns how many those were."""
    taken: int = await db.fetchval(_SQL["roll_up"], limit)
    return taken


async def fold(db: Connection, keep_s: float) -> int:
    """Add up hours that are older than that into one sum; how many rows of sums that touched."""
    return int((await db.execute(_SQL["fold"], keep_s)).split()[-1])


async def live(db: Connection) -> list[Live]:
    """The account's jobs that have not ended, by queue and state."""
    return [_live(row) for row in await db.fetch(_SQL["live"])]


async def series(db: Connection, start: datetime, end: datetime, by: Span, processor: str | None = None) -> list[Point]:
    """What ended in each hour, day or week (from Monday) in UTC, without gaps; the first is the one `start` is in."""
    return [Point(**row) for row in await db.fetch(_SQL["series"], start, end, by, processor)]


async def classes(
    db: Connection, start: datetime, end: datetime, by: Span, processor: str | None = None
) -> list[RunClass]:
    """The same jobs by processor, state and class of run time, in that order."""
    return [RunClass(**row) for row in await db.fetch(_SQL["classes"], start, end, by, processor)]


async def failures(
    db: Connection, start: datetime, end: datetime, by: Span, processor: str | None = None
) -> list[Failures]:
    """Why jobs failed in that time, most frequent first; the first hundred."""
    return [Failures(**row) for row in await db.fetch(_SQL["failures"], start, end, by, processor)]


async def all_live(db: Connection) -> list[Live]:
    """The jobs of all accounts that have not ended, by queue and state."""
    return [_live(row) for row in await db.fetch(_SQL["all_live"])]


async def all_ended(db: Connection) -> list[Ended]:
    """Ended jobs of all accounts, by processor, state and class of run time, in that order."""
    return [Ended(**row) for row in await db.fetch(_SQL["all_ended"])]


def _live(row: asyncpg.Record) -> Live:
    return Live(row["queue"], State(row["state"]), row["jobs"], row["oldest_s"])
