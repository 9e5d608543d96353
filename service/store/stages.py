"""Rows on their way into a dataset that are looked at first, in a table that ends with the transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from asyncpg import Record

from service.domain.dataset import LINEAGE
from service.domain.processor import Column
from service.store.database import Connection
from service.store.datasets import SQL_TYPES, qualified, quoted

STAGE = "stage"


async def stage(
    db: Connection, own: Sequence[Column], beside: Sequence[Column], source: AsyncIterator[bytes]
) -> list[Record]:
    """Take rows in as binary COPY gives them: lineage, what is told `beside` each, then the dataset's `own` columns.

    Returns `_row` and what is beside, in the order of `_row`.
    """
    kinds = [f"{quoted(column.name)} {SQL_TYPES[column.type]}" for column in (*beside, *own)]
    lines = ["_row bigint not null", "_job uuid not null", *kinds]
    await db.execute(f"create temp table {STAGE} ({', '.join(lines)}) on commit drop")
    names = [*LINEAGE, *(column.name for column in (*beside, *own))]
    await db.copy_to_table(STAGE, columns=names, source=source, format="binary")
    told = ", ".join(["_row", *(quoted(column.name) for column in beside)])
    return await db.fetch(f"select {told} from {STAGE} order by _row")  # noqa: S608


async def insert(db: Connection, table: str, own: Sequence[Column], rows: Sequence[int]) -> int:
    """Bring the staged rows with these numbers into the dataset's table, under the numbers in `_original`."""
    names = ", ".join(["_job", *(quoted(column.name) for column in own)])
    told = await db.execute(
        f"insert into {qualified(table)} (_row, {names}) "  # noqa: S608
        f"select _original, {names} from {STAGE} where _row = any($1::bigint[]) order by _original",
        rows,
    )
    return int(told.rpartition(" ")[2])


async def remove(db: Connection, table: str, job_id: UUID, rows: Sequence[int]) -> None:
    """Delete rows of one job by their numbers."""
    statement = f"delete from {qualified(table)} where _job = $1 and _row = any($2::bigint[])"  # noqa: S608
    await db.execute(statement, job_id, rows, timeout=3600)
