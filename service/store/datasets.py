"""Datasets: the catalogue of them, and the typed tables in schema `datasets` that hold their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.dataset import LINEAGE, Dataset, columns_from_json, columns_to_json, table_name
from service.domain.errors import InputError, NotFound
from service.domain.ids import new_id
from service.domain.processor import Column, ColumnType
from service.store.database import API_ROLE, Connection
from service.store.queries import load

_SQL = load("dataset")

SCHEMA = "datasets"

SQL_TYPES = {kind: kind.value for kind in ColumnType} | {ColumnType.DOUBLE: "double precision"}


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON objects in text, and the cursor behind the last one (None when nothing follows yet)."""

    rows: list[str]
    cursor: str | None


async def ensure(db: Connection, account_id: UUID, name: str) -> UUID:
    """The dataset of that name, made if there is none. It has no table until a first chunk gives it columns."""
    dataset_id = new_id()
    found: UUID = await db.fetchval(_SQL["ensure"], dataset_id, account_id, name, table_name(name, dataset_id))
    return found


async def get(db: Connection, name: str) -> Dataset:
    """One dataset. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], name)
    if row is None:
        raise NotFound("dataset", name)
    return _dataset(row)


async def page(db: Connection, *, after: str | None, limit: int) -> list[Dataset]:
    """By name, from the one after `after`."""
    return [_dataset(row) for row in await db.fetch(_SQL["list"], after, limit)]


async def lock(db: Connection, dataset_id: UUID) -> Dataset:
    """The dataset, held until the transaction ends."""
    row = await db.fetchrow(_SQL["lock"], dataset_id)
    if row is None:
        raise NotFound("dataset", dataset_id)
    return _dataset(row)


async def create_table(db: Connection, dataset: Dataset, columns: Sequence[Column]) -> None:
    """Give a dataset its table, readable by its own account only."""
    # Fixed-width lineage first: PostgreSQL then knows the offsets of what follows.
    lines = ["_row bigint not null", "_job uuid not null"]
    lines += [f"{quoted(column.name)} {SQL_TYPES[column.type]}" for column in columns]
    table = _table(dataset.table_name)
    await db.execute(f"create table {table} ({', '.join(lines)})")
    await db.execute(f"alter table {table} enable row level security")
    # One table has one owner, so the policy is a constant: no column to store, nothing to compare per row.
    await db.execute(
        f"create policy own_account on {table} to {API_ROLE} "
        f"using (nullif(current_setting('millrace.account', true), '')::uuid = '{dataset.account_id}')"
    )
    await db.execute(f"grant select on {table} to {API_ROLE}")
    await db.execute(_SQL["shape"], dataset.id, columns_to_json(columns))


async def copy_rows(db: Connection, table: str, columns: Sequence[Column], source: AsyncIterator[bytes]) -> None:
    """Bulk-insert rows that come as PostgreSQL's binary COPY format: lineage first, then `columns`."""
    names = [*LINEAGE, *(column.name for column in columns)]
    await db.copy_to_table(table, schema_name=SCHEMA, columns=names, source=source, format="binary")


async def rows(db: Connection, dataset: Dataset, *, cursor: str | None, limit: int) -> Page:
    """Rows in storage order, which is nearly input order for one job. A cursor stays valid while jobs append."""
    if dataset.columns is None:
        return Page([], None)
    # Physical position as the key: no index to keep on the hot path, and a page costs what it returns.
    found = await db.fetch(
        f"select ctid, (select row_to_json(r) from (select {_select_list(dataset.columns, 't.')}) r)::text as json "  # noqa: S608
        f"from {_table(dataset.table_name)} t where ctid > $1 limit $2",
        _position(cursor),
        limit,
    )
    last = found[-1]["ctid"] if len(found) == limit else None
    return Page([row["json"] for row in found], None if last is None else f"{last[0]}.{last[1]}")


async def export_csv(
    db: Connection, dataset: Dataset, output: Callable[[bytes], Coroutine[Any, Any, None]], timeout_s: float
) -> None:
    """Write the dataset's own columns as CSV with a header into `output`, piece by piece: job by job, as they came."""
    columns = dataset.columns or ()
    # Chunks are copied side by side, so storage order is not input order; sorting 2 million rows costs a second.
    query = (
        f"select {', '.join(quoted(c.name) for c in columns)} "  # noqa: S608
        f"from {_table(dataset.table_name)} order by _job, _row"
    )
    await db.copy_from_query(query, output=output, format="csv", header=True, timeout=timeout_s)


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def _table(name: str) -> str:
    return f"{SCHEMA}.{quoted(name)}"


def _select_list(columns: Sequence[Column], prefix: str) -> str:
    return ", ".join(prefix + quoted(name) for name in (*LINEAGE, *(c.name for c in columns)))


def _position(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return (0, 0)
    block, _, offset = cursor.partition(".")
    is_short = len(cursor) <= 16  # Python refuses to read very long numbers
    if is_short and block.isdecimal() and offset.isdecimal() and int(block) < 2**32 and int(offset) < 2**16:
        return (int(block), int(offset))
    raise InputError(
        "invalid_cursor", f"{cursor!r} is no cursor.", suggestion="Pass next_cursor of the page before, unchanged."
    )


def _dataset(row: Record) -> Dataset:
    return Dataset(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        table_name=row["table_name"],
        columns=None if row["columns"] is None else columns_from_json(row["columns"]),
        created_at=row["created_at"],
    )
