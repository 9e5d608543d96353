"""Gives tables of datasets their row index: large ones while rows still come, and what a dead worker left without one.

Until a table has one, each row that comes costs less, and a page of rows takes a look at all of them. So an import of
an ordinary file goes without, and its worker makes the index behind its end.
"""

from __future__ import annotations

import asyncpg
import structlog

from service.store import datasets, tables
from service.store.database import Database
from service.store.locks import duty_lock

log = structlog.get_logger()

LARGE_BYTES = 256 * 1024 * 1024
"""A look at so much takes about 0.1 s."""

_JUST_MADE = (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError)
"""What PostgreSQL says of an index that somebody else makes at this moment, or of its name."""


async def run_once(database: Database) -> int:
    """Make what is missing; returns how many. A table whose writers cannot wait is left, and one that goes."""
    made = 0
    async with database.connection() as db:
        missing = await datasets.unindexed(db, large_bytes=LARGE_BYTES)
    for table in missing:
        try:
            async with duty_lock(database, "index_rows") as db:
                if db is None:
                    break
                made += await tables.index_rows(db, table)  # somebody else may have been faster
        except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError, *_JUST_MADE):
            continue
    if made:
        log.info("tables.indexed", count=made)
    return made
