"""Deletes files that no upload owns: what a process left behind that died between the file and its row."""

from __future__ import annotations

from service.files.local import LocalFiles
from service.store import uploads
from service.store.database import Database

GRACE_S = 3600
"""An upload still on its way touches its file more often than this."""

BATCH = 500


async def run_once(database: Database, files: LocalFiles, *, grace_s: float = GRACE_S) -> int:
    """Delete what is orphaned now; returns the number of files."""
    deleted = 0
    async for batch in files.untouched_for(grace_s, BATCH):
        async with database.connection() as db:
            owned = await uploads.which_exist(db, [f.upload_id for f in batch])
        for found in batch:
            if found.partial or found.upload_id not in owned:
                await files.remove(found.path)
                deleted += 1
    return deleted
