"""Datasets: the catalogue of them, and the typed tables in schema `datasets` that hold their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from asyncpg import Record

from service.domain.dataset import LINEAGE, Dataset, columns_from_json, columns_to_json, table_name
from service.domain.errors import NotFound
from service.domain.ids import new_id
from service.domain.processor import Column, ColumnType
from service.store.database import API_ROLE, Connection
from service.store.queries import load

_SQL = load("dataset")

SCHEMA = "datasets"

SQL_TYPES = {kind: kind.value for kind in ColumnType} | {ColumnType.DOUBLE: "double precision"}


async def ensure(db: Connection, account_id: UUID, name: str) -> UUID:
    """The dataset of that name, made if there is none. It has no table until a first chunk gives it columns."""
    dataset_id = new_id()
    found: UUID | None = None
    while found is None:  # once more if another transaction made it meanwhile, unseen by our first look
        found = await db.fetchval(_SQL["ensure"], dataset_id, account_id, name, table_name(name, dataset_id))
    return found


async def get(db: Connection, name: str) -> Dataset:
    """One dataset. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], name)
    if row is None:
        raise NotFound("dataset", name)
    return _dataset(row)


async def of_account(db: Connection, account_id: UUID, name: str) -> Dataset:
    """One dataset of an account, for workers, who see all of them. Raises NotFound."""
    row = await db.fetchrow(_SQL["of_account"], account_id, name)
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
    table = qualified(dataset.table_name)
    await db.execute(f"create table {table} ({', '.join(lines)})")
    # Rows of a job lie nearly in the order of their numbers: a block-range index finds them, and costs nothing to keep
    # where a B-tree would double the work of an import.
    await db.execute(f"create index {quoted(_index(dataset.table_name))} on {table} using brin (_row)")
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


async def remove_rows(db: Connection, table: str, job_id: UUID) -> None:
    """Delete what one job has stored in a dataset's table."""
    await db.execute(f"delete from {qualified(table)} where _job = $1", job_id, timeout=3600)  # noqa: S608


async def summarize(db: Connection, table: str) -> None:
    """Bring the table's block-range index up to its end, so that a page of rows reads only where they are."""
    await db.execute("select brin_summarize_new_values($1::regclass)", f"{SCHEMA}.{quoted(_index(table))}")


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """The name of a dataset's table as SQL text."""
    return f"{SCHEMA}.{quoted(name)}"


def _index(table: str) -> str:
    return f"{table}_row"


def _dataset(row: Record) -> Dataset:
    return Dataset(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        table_name=row["table_name"],
        columns=None if row["columns"] is None else columns_from_json(row["columns"]),
        created_at=row["created_at"],
    )
