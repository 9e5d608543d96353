"""Uploads: the rows that own the files in storage."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.domain.errors import NotFound
from service.domain.upload import Upload
from service.store.database import Connection
from service.store.queries import load

_SQL = load("upload")


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


async def which_exist(db: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that have a row."""
    return {row["id"] for row in await db.fetch(_SQL["which_exist"], ids)}


def _upload(row: Record) -> Upload:
    return Upload(**row)
