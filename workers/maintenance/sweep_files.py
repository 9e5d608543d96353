"""Deletes files that no upload owns: what a process left behind that died between the file and its row.

A file of an upload that was given up as lost is good news instead, and its row is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from service.files.port import Files, Found
from service.store import uploads
from service.store.database import Connection, Database
from service.store.locks import duty_lock
from workers.storage import is_ours

log = structlog.get_logger()

GRACE_S = 3600
"""An upload still on its way touches its file more often than this."""

BATCH = 500


async def run_once(database: Database, files: Files, *, grace_s: float = GRACE_S) -> int:
    """Delete what is orphaned now; returns the number of files. Touches nothing in a folder that is not ours."""
    deleted = 0
    if not await is_ours(database, files):
        return deleted
    async for batch in files.untouched_for(grace_s, BATCH):
        async with duty_lock(database, "sweep_files") as db:
            if db is None:
                return deleted
            owned = await _owned(db, batch)
        for found in batch:
            if found.upload_id not in owned:
                deleted += await files.remove(found.upload_id)
    return deleted


async def _owned(db: Connection, batch: Sequence[Found]) -> set[UUID]:
    whole = [found.upload_id for found in batch if not found.partial]
    for upload_id in await uploads.restore(db, whole):
        log.warning("upload.found_again", upload_id=str(upload_id))
    return await uploads.which_own(db, [found.upload_id for found in batch])
