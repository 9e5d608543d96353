"""Marks uploads whose file is gone without our doing, so that no row promises a file that is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import structlog

from service.files.port import Files
from service.store import uploads
from service.store.database import Database
from service.store.locks import duty_lock
from workers.storage import is_ours

log = structlog.get_logger()

GRACE_S = 600
"""On a shared disk another machine may see a new file a little later."""

BATCH = 500


async def run_once(database: Database, files: Files, *, grace_s: float = GRACE_S) -> int:
    """Mark what is lost now; returns the number of uploads. Does nothing while the folder is not ours to judge."""
    total = 0
    async for batch in _batches(database, grace_s):
        missing = await files.missing(batch)
        if missing and not await is_ours(database, files):  # asked after the look: a disk may go away during it
            return total
        lost = await _mark(database, missing)
        for upload_id in lost:
            log.error("upload.lost", upload_id=str(upload_id))
        total += len(lost)
    return total


async def _batches(database: Database, grace_s: float) -> AsyncIterator[list[UUID]]:
    last: UUID | None = None
    while True:
        async with database.connection() as db:
            batch = await uploads.kept(db, after=last, older_than_s=grace_s, limit=BATCH)
        if not batch:
            return
        yield batch
        last = batch[-1]


async def _mark(database: Database, missing: list[UUID]) -> list[UUID]:
    if not missing:
        return []
    async with duty_lock(database, "mark_lost") as db:
        return [] if db is None else await uploads.expire(db, missing, "lost")
