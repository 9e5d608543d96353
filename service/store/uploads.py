"""Uploads: the rows that own the files in storage; `arrivals` is for those that are still on their way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Literal
from uuid import UUID

from asyncpg import PostgresError, Record

from service.domain.errors import NotFound, StateError
from service.domain.upload import Protocol, Status, Upload
from service.store.database import Connection
from service.store.queries import load

_SQL = load("upload")

_FIELDS = tuple(field.name for field in fields(Upload))

_FILE_IS_GONE = "MR001"
"""The SQLSTATE with which the database refuses to queue a job over an expired upload."""

_FILE_IS_DAMAGED = "MR002"
"""The same over one whose file is damaged."""

_FILE_IS_NOT_WHOLE = "MR003"
"""The same over one that is still on its way."""


async def add(
    db: Connection,
    account_id: UUID,
    upload_id: UUID,
    name: str,
    size_bytes: int,
    sha256: bytes,
    media_type: str | None,
    seal: bytes | None = None,
    protocol: Protocol = "job",
) -> Upload:
    """Record a file that is complete and durable."""
    row = await db.fetchrow(_SQL["add"], upload_id, account_id, name, size_bytes, sha256, media_type, seal, protocol)
    assert row is not None
    return as_upload(row)


async def get(db: Connection, upload_id: UUID) -> Upload:
    """One upload, whatever became of it. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], upload_id)
    if row is None:
        raise NotFound("upload", upload_id)
    return as_upload(row)


async def of_account(db: Connection, account_id: UUID, upload_id: UUID) -> Upload:
    """One upload of an account, for workers, who see all of them. Raises NotFound."""
    row = await db.fetchrow(_SQL["of_account"], account_id, upload_id)
    if row is None:
        raise NotFound("upload", upload_id)
    return as_upload(row)


async def page(
    db: Connection, *, before: UUID | None, limit: int, status: Status | None = None, sha256: bytes | None = None
) -> list[Upload]:
    """Newest first, from the one before `before`, without those that were deleted."""
    return [as_upload(row) for row in await db.fetch(_SQL["list"], before, limit, status, sha256)]


async def matching(
    db: Connection,
    *,
    status: Status | None,
    kind: str | None,
    media_type: str | None,
    suffix: str | None,
    processor: str | None,
    limit: int,
) -> list[UUID]:
    """Ids of complete uploads with a file, oldest first."""
    rows = await db.fetch(_SQL["matching"], status, kind, media_type, suffix, processor, limit)
    return [row["id"] for row in rows]


async def remove(db: Connection, upload_id: UUID) -> Upload:
    """Take an upload out of sight and forget its key; its file may go once this is committed.

    Raises NotFound, StateError: a job or a schedule needs it.
    """
    held = await db.fetch(_SQL["hold"], [upload_id])  # no job can be queued over it from here on
    if not held or held[0]["removed_at"] is not None:
        raise NotFound("upload", upload_id)
    if await db.fetchval(_SQL["in_use"], upload_id):
        raise StateError(
            "conflict",
            "A job that has not ended, or a schedule, needs this upload, or a dataset shows it.",
            suggestion="Cancel the job, or delete the schedule or the dataset first.",
        )
    await db.execute(_SQL["remove"], upload_id)
    return as_upload(held[0])


@contextmanager
def file_needed() -> Iterator[None]:
    """Around a statement that queues a job.

    Raises StateError `upload_expired` if its upload has no file any more, `upload_damaged`, and `upload_incomplete` if
    not all of it has come.
    """
    try:
        yield
    except PostgresError as error:
        if error.sqlstate == _FILE_IS_GONE:
            raise StateError(
                "upload_expired",
                "The uploaded file of this job is no longer kept.",
                suggestion="Upload the file again and queue a new job.",
            ) from error
        if error.sqlstate == _FILE_IS_DAMAGED:
            raise StateError(
                "upload_damaged",
                "The stored file of this upload is damaged and is not read again.",
                suggestion="Upload the file again and queue a new job.",
            ) from error
        if error.sqlstate == _FILE_IS_NOT_WHOLE:
            raise StateError(
                "upload_incomplete",
                "The file of this upload has not come in full.",
                suggestion="Send the rest of it first, or name processor and dataset when the upload is created.",
            ) from error
        raise


async def which_own(db: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that are uploads with a file, or a part of one on its way."""
    return {row["id"] for row in await db.fetch(_SQL["which_own"], ids)}


async def kept(db: Connection, *, after: UUID | None, older_than_s: float, limit: int) -> list[UUID]:
    """Complete uploads with a file, in order of their ids, from the one behind `after`."""
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
    return await db.fetchval(_SQL["forget_unused"], job_id, upload_id) is not None


async def expire_unfinished(db: Connection, limit: int) -> list[UUID]:
    """Give up uploads whose clients stayed away. Their parts may be deleted once the transaction is committed."""
    return [row["id"] for row in await db.fetch(_SQL["unfinished"], limit)]


async def expire(db: Connection, ids: Sequence[UUID], reason: Literal["retention", "lost", "joined"]) -> list[UUID]:
    """Mark uploads as without a file; returns those that were not yet."""
    return [row["id"] for row in await db.fetch(_SQL["expire"], ids, reason)]


async def restore(db: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Take back that these are lost: their files are there again. Returns those it was said of."""
    return [row["id"] for row in await db.fetch(_SQL["restore"], ids)]


def as_upload(row: Record) -> Upload:
    """An upload from its row."""
    known: dict[str, Any] = {name: row[name] for name in _FIELDS}
    return Upload(**known | {"jobs": tuple(known["jobs"])})
