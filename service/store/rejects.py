"""Rejects: input rows that were refused, with the reason and the original text."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from service.domain.processor import Reject
from service.store.database import Connection
from service.store.queries import load

_SQL = load("reject")

_COLUMNS = ("job_id", "account_id", "row", "line", "column", "code", "message", "suggestion", "raw")


async def add(db: Connection, job_id: UUID, account_id: UUID, rejects: Sequence[Reject]) -> None:
    """Store the rejects of one chunk, inside its transaction."""
    records = [(job_id, account_id, r.row, r.line, r.column, r.code, r.message, r.suggestion, r.raw) for r in rejects]
    await db.copy_records_to_table("reject", schema_name="millrace", columns=_COLUMNS, records=records)


async def page(db: Connection, job_id: UUID, *, after_row: int, limit: int) -> list[Reject]:
    """Rejects in row order, from the one after `after_row`."""
    rows = await db.fetch(_SQL["list"], job_id, after_row, limit)
    return [Reject(**row) for row in rows]
