"""Rows on their way into a dataset that are looked at first, in a table that ends with the transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from asyncpg import Record

from service.domain.chunk import Column
from service.domain.dataset import LINEAGE
from service.store import merges
from service.store.database import Connection
from service.store.tables import SQL_TYPES, qualified, quoted

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
    return await _move(db, qualified(table), own, rows)


async def hand_over(db: Connection, table: str, own: Sequence[Column], rows: Sequence[int]) -> None:
    """Make the staged rows with these numbers those that `merges.merge` brings in, under the numbers in `_original`."""
    await db.execute(f"create temp table {merges.STAGE} (like {qualified(table)}) on commit drop")
    await _move(db, merges.STAGE, own, rows)


async def _move(db: Connection, target: str, own: Sequence[Column], rows: Sequence[int]) -> int:
    names = ", ".join(["_job", *(quoted(column.name) for column in own)])
    told = await db.execute(
        f"insert into {target} (_row, {names}) "  # noqa: S608
        f"select _original, {names} from {STAGE} where _row = any($1::bigint[]) order by _original",
        rows,
    )
    return int(told.rpartition(" ")[2])
