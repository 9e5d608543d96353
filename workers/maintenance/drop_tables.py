"""Drops tables that no dataset shows any more: of replaces that were given up, of replaced and of deleted datasets."""

from __future__ import annotations

import asyncpg
import structlog

from service.store import landings
from service.store.database import Database
from service.store.locks import duty_lock

log = structlog.get_logger()


async def run_once(database: Database, *, keep_failed_s: float, keep_undo_s: float) -> int:
    """Drop what is due now; returns how many tables. One that is still being read is left for the next time."""
    dropped, in_use = 0, 0
    while True:
        try:
            async with duty_lock(database, "drop_tables") as db:
                if db is None or not await landings.drop_next(
                    db, keep_loading_s=keep_failed_s, keep_former_s=keep_undo_s, skip=in_use
                ):
                    break
            dropped += 1
        except asyncpg.LockNotAvailableError:
            in_use += 1
    if dropped:
        log.info("tables.dropped", count=dropped)
    return dropped
