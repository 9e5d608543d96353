"""How the rows of a chunk get into their dataset: the last step of a commit, inside its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.processor import Column
from service.store import datasets
from service.store.claims import Claim
from service.store.database import Connection
from workers.pieces import given


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a chunk's accepted rows."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


async def land(
    db: Connection, claim: Claim, table: str, columns: Sequence[Column], payload: list[bytes], rows: int
) -> Landed:
    """Store the rows of one chunk, which come as a binary COPY stream in pieces."""
    if rows:
        await datasets.copy_rows(db, table, columns, given(payload))
    return Landed(inserted=rows)
