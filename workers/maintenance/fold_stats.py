"""Adds up statistics whose hours are too old to be told apart, and forgets workers that have long been silent."""

from __future__ import annotations

from service.store import stats, workers
from service.store.database import Database
from service.store.locks import duty_lock


async def run_once(database: Database, *, keep_s: float) -> int:
    """Do both; returns how many rows that touched."""
    async with duty_lock(database, "fold_stats") as db:
        return 0 if db is None else await stats.fold(db, keep_s) + await workers.forget(db)
