"""What rows know of how files are sealed, and of those that do not open any more."""

from __future__ import annotations

from uuid import UUID

from service.store.database import Connection
from service.store.queries import load

_SQL = load("seal")


async def mark_damaged(db: Connection, upload_id: UUID) -> None:
    """Quarantine an upload: its file is kept to be looked at, and nothing reads it any more."""
    await db.execute(_SQL["mark_damaged"], upload_id)


async def older(db: Connection, current: bytes, *, after: UUID | None, limit: int) -> list[tuple[UUID, bytes]]:
    """Uploads and their seals that another master key than `current` has locked, from the one behind `after`."""
    return [(row["id"], row["seal"]) for row in await db.fetch(_SQL["older"], current, after, limit)]


async def replace(db: Connection, upload_id: UUID, old: bytes, new: bytes) -> bool:
    """Put one seal in the place of another; False if it is not that one any more."""
    return await db.fetchval(_SQL["replace"], upload_id, old, new) is not None
