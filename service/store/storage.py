"""Which folder of uploads belongs to this database: the one that carries the mark recorded here."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from service.domain.ids import new_id
from service.store.database import Connection
from service.store.queries import load

_SQL = load("storage")


@dataclass(frozen=True, slots=True)
class Storage:
    """The mark, and whether it is known to be on disk."""

    id: UUID
    is_marked: bool


async def get(db: Connection) -> Storage | None:
    """The mark of this database's folder, if it was ever given one."""
    row = await db.fetchrow(_SQL["get"])
    return None if row is None else Storage(**row)


async def add(db: Connection) -> Storage:
    """Make up a mark. To be written to disk once the transaction is committed."""
    row = await db.fetchrow(_SQL["add"], new_id())
    assert row is not None
    return Storage(**row)


async def marked(db: Connection, storage: Storage) -> None:
    """The mark is on disk, durably."""
    await db.execute(_SQL["marked"], storage.id)
