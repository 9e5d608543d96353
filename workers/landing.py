"""How the rows of a chunk get into their dataset: the last step of a commit, inside its transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from service.domain.processor import Column
from service.store import datasets
from service.store.claims import Claim
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a chunk's accepted rows."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


async def land(
    db: Connection, claim: Claim, table: str, columns: Sequence[Column], payload: AsyncIterator[bytes], rows: int
) -> Landed:
    """Store the rows of one chunk, which come as a binary COPY stream in pieces, to be taken to their end."""
    if rows:
        await datasets.copy_rows(db, table, columns, payload)
    return Landed(inserted=rows)
