"""Statistics of an account's jobs: live numbers, and those of ended jobs rolled up by the hour."""

from __future__ import annotations

from datetime import datetime

from service.domain.job import State
from service.domain.stats import Live, Point, RunClass, Span
from service.store.database import Connection
from service.store.queries import load

_SQL = load("job_stat")


async def roll_up(db: Connection, limit: int) -> int:
    """Count at most `limit` ends of jobs that are not counted yet; returns how many those were."""
    taken: int = await db.fetchval(_SQL["roll_up"], limit)
    return taken


async def live(db: Connection) -> dict[State, Live]:
    """The account's jobs that have not ended, by state."""
    return {State(row["state"]): Live(row["jobs"], row["oldest_s"]) for row in await db.fetch(_SQL["live"])}


async def series(db: Connection, start: datetime, end: datetime, by: Span) -> list[Point]:
    """What ended in each hour, day or week (from Monday) in UTC, without gaps; the first is the one `start` is in."""
    return [Point(**row) for row in await db.fetch(_SQL["series"], start, end, by)]


async def classes(db: Connection, start: datetime, end: datetime, by: Span) -> list[RunClass]:
    """The same jobs by processor, state and class of run time, in that order."""
    return [RunClass(**row) for row in await db.fetch(_SQL["classes"], start, end, by)]
