"""Forgets sessions of browsers that have ended."""

from __future__ import annotations

from service.store import sessions
from service.store.database import Database
from service.store.locks import duty_lock

BATCH = 5_000


async def run_once(database: Database, *, idle_s: float) -> int:
    """Delete them; returns how many those were."""
    async with duty_lock(database, "expire_sessions") as db:
        return 0 if db is None else await sessions.expire(db, idle_s, BATCH)
