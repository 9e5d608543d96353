"""Uploads on their way: begun, recorded offset by offset, completed or given up; and what accounts may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.domain.errors import NotFound, StateError
from service.domain.upload import Protocol, Upload
from service.store.database import Connection
from service.store.queries import load
from service.store.uploads import as_upload, get

_SQL = load("upload")


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What is known of an upload before its bytes come. `size_bytes` is None until its client tells it."""

    id: UUID
    account_id: UUID
    name: str
    size_bytes: int | None
    media_type: str | None
    seal: bytes | None
    protocol: Protocol
    metadata: str | None = None
    concat: str | None = None
    digests: Mapping[str, str] | None = None
    wanted: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account holds, and its own limits; None is what the settings say."""

    bytes: int
    open: int
    daily: int
    max_bytes: int | None
    max_open: int | None
    max_daily: int | None


async def begin(db: Connection, new: NewUpload, keep_s: float) -> Upload:
    """Write an upload that is on its way, and reserve what it will hold. It lives `keep_s` without more coming."""
    row = await db.fetchrow(
        _SQL["begin"],
        new.id,
        new.account_id,
        new.name,
        new.size_bytes,
        new.media_type,
        new.seal,
        new.protocol,
        new.metadata,
        new.concat,
        new.digests,
        new.wanted,
        keep_s,
    )
    assert row is not None
    return as_upload(row)


async def usage(db: Connection, account_id: UUID) -> Usage:
    """What the account holds as of now, this transaction's changes included."""
    row = await db.fetchrow(_SQL["usage"], account_id)
    assert row is not None
    return Usage(**row)


async def take_turn(db: Connection, upload_id: UUID) -> tuple[Upload, bool]:
    """Make this request the newest one, whose word counts, until `close` or a newer one.

    Returns the upload as it is then, and whether the request before was not closed: there may be more than is recorded.
    Raises NotFound, StateError: it is complete, or no longer there.
    """
    row = await db.fetchrow(_SQL["take_turn"], upload_id, True)
    if row is None:
        raise not_receiving(await get(db, upload_id))
    return as_upload(row), row["was_open"]


async def keep_longer(db: Connection, upload_id: UUID, keep_s: float) -> None:
    """More is coming: do not give it up for so long."""
    await db.execute(_SQL["keep_longer"], upload_id, keep_s)


async def record(db: Connection, upload_id: UUID, writer: int, offset: int, keep_s: float) -> bool:
    """Note how much is durable. False if a newer request writes, or the upload is no longer on its way."""
    return await db.fetchval(_SQL["record"], upload_id, writer, offset, keep_s) is not None


async def close(db: Connection, upload_id: UUID, writer: int) -> None:
    """Note that a request has ended with everything recorded."""
    await db.execute(_SQL["close"], upload_id, writer)


async def tell_size(db: Connection, upload_id: UUID, size_bytes: int) -> bool:
    """Note the size that the client told late. False if it was told before, or more has come."""
    return await db.fetchval(_SQL["tell_size"], upload_id, size_bytes) is not None


async def complete(
    db: Connection, upload_id: UUID, *, size_bytes: int, sha256: bytes, seal: bytes | None, kind: str, name: str
) -> Upload | None:
    """Note that all of it is there under its final name. None if it is complete already, or gone."""
    row = await db.fetchrow(_SQL["complete"], upload_id, size_bytes, sha256, seal, kind, name)
    return None if row is None else as_upload(row)


async def refuse(db: Connection, upload_id: UUID, problem: Mapping[str, str]) -> None:
    """Note that it has come and was not taken, and why; its file may go once this is committed."""
    await db.execute(_SQL["refuse"], upload_id, problem)


async def forget(db: Connection, upload_id: UUID) -> None:
    """Take back an upload that nobody was told of."""
    await db.execute(_SQL["forget"], upload_id)


async def hold(db: Connection, upload_ids: Sequence[UUID]) -> list[Upload]:
    """Lock uploads until the transaction ends. Raises NotFound."""
    found = {row["id"]: as_upload(row) for row in await db.fetch(_SQL["hold"], upload_ids)}
    for upload_id in upload_ids:
        if upload_id not in found:
            raise NotFound("upload", upload_id)
    return [found[upload_id] for upload_id in upload_ids]


async def writers(db: Connection, upload_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The newest request to each upload that is on its way."""
    return {row["id"]: row["writer"] for row in await db.fetch(_SQL["writers"], upload_ids)}


def not_receiving(found: Upload) -> StateError:
    """Why nothing more can be added to an upload."""
    if found.expired_at is None and found.state == "complete":
        return StateError("upload_complete", "This upload is complete; nothing can be added to it.")
    return gone(found)


def gone(found: Upload) -> StateError:
    """The upload has no bytes any more."""
    return StateError(
        "upload_gone", f"This upload is gone ({found.expired_reason}).", suggestion="Upload the file again."
    )
