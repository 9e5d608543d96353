"""Locks the keys of files with the current master key, so that an older one may go. No file is touched."""

from __future__ import annotations

from uuid import UUID

import structlog

from service.domain.errors import MillraceError
from service.files.port import File, Files
from service.store import seals
from service.store.database import Database
from service.store.locks import duty_lock

log = structlog.get_logger()

BATCH = 500


async def run_once(database: Database, files: Files) -> int:
    """Lock again what is to be; returns the number of seals. One whose master key is missing is left as it is."""
    changed, last = 0, None
    while True:
        async with duty_lock(database, "lock_again") as db:
            if db is None:
                return changed
            batch = await seals.older(db, files.master, after=last, limit=BATCH)
            for upload_id, seal in batch:
                if new := _locked(files, upload_id, seal):
                    changed += await seals.replace(db, upload_id, seal, new)
        if len(batch) < BATCH:
            return changed
        last = batch[-1][0]


def _locked(files: Files, upload_id: UUID, seal: bytes) -> bytes | None:
    try:
        return files.rewrapped(File(upload_id, seal))
    except MillraceError as error:
        log.error("upload.seal_not_opened", upload_id=str(upload_id), code=error.code)
        return None
