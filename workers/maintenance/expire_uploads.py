"""Takes the files of uploads whose jobs ended long enough ago, and of those whose clients stayed away in the middle.

The row stays as history.

The file goes only once its row says so: a worker that dies in between leaves a file to `sweep_files`, never a row that
promises one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from service.files.port import Files
from service.store import uploads
from service.store.database import Connection, Database
from service.store.locks import duty_lock

log = structlog.get_logger()

BATCH = 500


async def run_once(database: Database, files: Files, *, keep_completed_s: float, keep_failed_s: float) -> int:
    """Expire what is due now; returns the number of uploads.

    An upload is due `keep_completed_s` after its last job, or `keep_failed_s` when any of them failed or was cancelled;
    without any job, `keep_failed_s` after it came. One that has not come in full says itself when it is due.
    """

    async def stale(db: Connection) -> list[UUID]:
        return await uploads.expire_stale(
            db, keep_completed_s=keep_completed_s, keep_failed_s=keep_failed_s, limit=BATCH
        )

    async def unfinished(db: Connection) -> list[UUID]:
        return await uploads.expire_unfinished(db, BATCH)

    return await _expire(database, files, stale) + await _expire(database, files, unfinished)


async def _expire(database: Database, files: Files, mark: Callable[[Connection], Awaitable[list[UUID]]]) -> int:
    total = 0
    while expired := await _marked(database, mark):
        for upload_id in expired:
            await files.remove(upload_id)
        log.info("uploads.expired", count=len(expired))
        total += len(expired)
    return total


async def _marked(database: Database, mark: Callable[[Connection], Awaitable[list[UUID]]]) -> list[UUID]:
    async with duty_lock(database, "expire_uploads") as db:
        return [] if db is None else await mark(db)
