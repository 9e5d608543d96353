"""Chains what users have done since the last time, so that nothing of it can be changed without being seen."""

from __future__ import annotations

from service.store import audit
from service.store.database import Database
from service.store.locks import duty_lock

BATCH = 1_000


async def run_once(database: Database) -> int:
    """Chain all that is loose; returns how many entries that were."""
    total = 0
    while chained := await _batch(database):
        total += chained
    return total


async def _batch(database: Database) -> int:
    async with duty_lock(database, "chain_audit") as db:
        return 0 if db is None else await audit.chain(db, BATCH)
