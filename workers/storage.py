"""Tells this database's folder of uploads from an empty mount point and from another installation's folder.

The folder carries a mark that the database knows. Without that, a disk that is not mounted would look like one from
which every file was lost, and a wrong MILLRACE_DATA_DIR like one full of orphans.
"""

from __future__ import annotations

import structlog

from service.files.port import Files
from service.files.stores import MARK
from service.store import storage, uploads
from service.store.database import Connection, Database
from service.store.locks import duty_lock

log = structlog.get_logger()

SAMPLE = 100

SUGGESTION = (
    "MILLRACE_DATA_DIR does not hold the files of this database: mount or correct it. If it is right, delete the file "
    f"files/{MARK} in it and the row of table storage, and it is marked anew."
)


async def is_ours(database: Database, files: Files) -> bool:
    """Whether files may be judged by what is in this folder. The first to ask puts the mark there."""
    mark = await files.mark()
    async with duty_lock(database, "storage") as db:
        if db is None:
            return False  # somebody else is about to mark it; there is a next time
        known = await storage.get(db)
        if known is None and mark is None and await _fits(db, files):
            known = await storage.add(db)
    if known is not None and not known.is_marked and mark in (None, known.id):
        await files.set_mark(known.id)  # the row is committed by now: there is no mark without one
        async with database.transaction() as db:
            await storage.marked(db, known)
        return True
    if known is None or mark != known.id:
        log.error("files.not_ours", suggestion=SUGGESTION)
        return False
    return True


async def _fits(db: Connection, files: Files) -> bool:
    """Whether any of the first uploads is there, if any should be."""
    sample = await uploads.kept(db, after=None, older_than_s=0, limit=SAMPLE)
    return not sample or len(await files.missing(sample)) < len(sample)
