"""Forgets what rows were before old jobs changed them; these jobs can then no longer be undone."""

from __future__ import annotations

import structlog

from service.store import undos
from service.store.database import Database
from service.store.locks import duty_lock

log = structlog.get_logger()

BATCH = 10


async def run_once(database: Database, *, keep_undo_s: float) -> int:
    """Expire the before-images of jobs that ended `keep_undo_s` ago; returns how many jobs."""
    total = 0
    while True:
        async with duty_lock(database, "expire_undo") as db:
            expired = 0 if db is None else await undos.expire(db, keep_s=keep_undo_s, limit=BATCH)
        total += expired
        if expired < BATCH:
            break
    if total:
        log.info("undo.expired", count=total)
    return total
