"""Locks of maintenance duties: of many workers one does a duty at a time, the others skip it at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.store.database import Connection, Database
from service.store.queries import load

_SQL = load("lock")


@asynccontextmanager
async def duty_lock(database: Database, duty: str) -> AsyncIterator[Connection | None]:
    """A transaction that holds the lock of a duty to its end, or None at once while somebody else has it.

    Keep it short: one batch, no waiting for files.
    """
    async with database.transaction() as db:
        yield db if await db.fetchval(_SQL["try"], duty) else None
