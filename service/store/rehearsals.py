"""Matches rows by key as an import would, in a table that is never committed: see `workers.rehearsing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from service.domain.chunk import Column
from service.domain.row_options import Meeting
from service.store import merges, tables
from service.store.database import Connection
from service.store.merges import Merged
from service.store.queries import load
from service.store.tables import qualified, quoted

_SQL = load("rehearsal", "templates")


async def begin(db: Connection, table: str, account_id: UUID, columns: Sequence[Column], keys: Sequence[str]) -> None:
    """Make the table. The transaction may then wait as long as it takes to read a file."""
    await db.execute("set local idle_in_transaction_session_timeout = 0")
    await tables.create(db, table, account_id, columns)
    await tables.add_key(db, table, keys)


async def land(
    db: Connection,
    table: str,
    target: str | None,
    job_id: UUID,
    columns: Sequence[Column],
    keys: Sequence[str],
    brought: Sequence[str],
    meeting: Meeting | None,
    source: AsyncIterator[bytes],
) -> Merged:
    """What would become of these rows, if those of `target` with their keys were there."""
    await merges.stage(db, table, columns, source)
    names = [quoted(column.name) for column in columns]
    parts = {
        "table": qualified(table),
        "columns": ", ".join(names),
        "t_columns": ", ".join(f"t.{name}" for name in names),
        "matches": " and ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in keys),
        "stage": merges.STAGE,
        "plan": merges.PLAN,
    }
    if target is not None:
        await db.execute(_SQL["touch"].format_map({**parts, "target": qualified(target)}), timeout=3600)
    merged = await merges.merge(db, table, job_id, columns, keys, brought, meeting, 0)
    await db.execute(_SQL["clear"].format_map(parts))
    return merged
