"""Adds the ends of jobs to the statistics, each exactly once: counted and struck off in one transaction."""

from __future__ import annotations

from service.store import stats
from service.store.database import Database
from service.store.locks import duty_lock

BATCH = 5_000


async def run_once(database: Database) -> int:
    """Count what has ended by now; returns the number of ends."""
    total = 0
    while counted := await _batch(database):
        total += counted
    return total


async def _batch(database: Database) -> int:
    async with duty_lock(database, "roll_up") as db:
        return 0 if db is None else await stats.roll_up(db, BATCH)
