"""Uploads: the rows that own the files in storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal
from uuid import UUID

from asyncpg import PostgresError, Record

from service.domain.errors import NotFound, StateError
from service.domain.upload import Upload
from service.store.database import Connection
from service.store.queries import load

_SQL = load("upload")

_FILE_IS_GONE = "MR001"
"""The SQLSTATE with which the database refuses to queue a job over an expired upload."""


async def add(
    db: Connection, account_id: UUID, upload_id: UUID, name: str, size_bytes: int, sha256: bytes, media_type: str | None
) -> Upload:
    """Record a file that is complete and durable."""
    row = await db.fetchrow(_SQL["add"], upload_id, account_id, name, size_bytes, sha256, media_type)
    assert row is not None
    return _upload(row)


async def get(db: Connection, upload_id: UUID) -> Upload:
    """One upload. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], upload_id)
    if row is None:
        raise NotFound("upload", upload_id)
    return _upload(row)


async def of_account(db: Connection, account_id: UUID, upload_id: UUID) -> Upload:
    """One upload of an account, for workers, who see all of them. Raises NotFound."""
    row = await db.fetchrow(_SQL["of_account"], account_id, upload_id)
    if row is None:
        raise NotFound("upload", upload_id)
    return _upload(row)


async def page(db: Connection, *, before: UUID | None, limit: int) -> list[Upload]:
    """Newest first, from the one before `before`."""
    return [_upload(row) for row in await db.fetch(_SQL["list"], before, limit)]


@contextmanager
def file_needed() -> Iterator[None]:
    """Around a statement that queues a job. Raises StateError `upload_expired` if its upload has no file any more."""
    try:
        yield
    except PostgresError as error:
        if error.sqlstate != _FILE_IS_GONE:
            raise
        raise StateError(
            "upload_expired",
            "The uploaded file of this job is no longer kept.",
            suggestion="Upload the file again and queue a new job.",
        ) from error


async def which_own(db: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that are uploads with a file."""
    return {row["id"] for row in await db.fetch(_SQL["which_own"], ids)}


async def kept(db: Connection, *, after: UUID | None, older_than_s: float, limit: int) -> list[UUID]:
    """Uploads with a file, in order of their ids, from the one behind `after`."""
    return [row["id"] for row in await db.fetch(_SQL["kept"], older_than_s, after, limit)]


async def expire_stale(db: Connection, *, keep_completed_s: float, keep_failed_s: float, limit: int) -> list[UUID]:
    """Mark uploads whose jobs ended long enough ago. Their files may be deleted once the transaction is committed."""
    keep = (keep_completed_s, keep_failed_s)
    locked = [row["id"] for row in await db.fetch(_SQL["stale"], *keep, None, limit)]
    if not locked:
        return []
    # Looked at again now that no job can be queued over them: one may have been between that look and its locks.
    stale = [row["id"] for row in await db.fetch(_SQL["stale"], *keep, locked, limit)]
    return await expire(db, stale, "retention")


async def forget(db: Connection, job_id: UUID, upload_id: UUID) -> bool:
    """Delete the upload of a job that has ended and is the only one to have used it; False if that is not so."""
    return await db.fetchval(_SQL["forget"], job_id, upload_id) is not None


async def expire(db: Connection, ids: Sequence[UUID], reason: Literal["retention", "lost"]) -> list[UUID]:
    """Mark uploads as without a file; returns those that were not yet."""
    return [row["id"] for row in await db.fetch(_SQL["expire"], ids, reason)]


async def restore(db: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Take back that these are lost: their files are there again. Returns those it was said of."""
    return [row["id"] for row in await db.fetch(_SQL["restore"], ids)]


def _upload(row: Record) -> Upload:
    return Upload(**row)
