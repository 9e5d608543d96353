"""The typed tables in schema `datasets`: made, filled, given a key, dropped. Users name their columns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from service.domain.chunk import Column, ColumnType
from service.domain.dataset import LINEAGE
from service.domain.errors import InputError
from service.store.database import API_ROLE, Connection
from service.store.queries import load

_SQL = load("merge", "templates")

SCHEMA = "datasets"

SQL_TYPES = {kind: kind.value for kind in ColumnType} | {ColumnType.DOUBLE: "double precision"}

INDEX_TIMEOUT_S = 3600

NAME_BYTES = 63
"""PostgreSQL cuts longer names."""


async def create(db: Connection, table: str, account_id: UUID, columns: Sequence[Column]) -> None:
    """Make a table for a dataset of this account, readable by that account only."""
    # Fixed-width lineage first: PostgreSQL then knows the offsets of what follows.
    lines = ["_row bigint not null", "_job uuid not null"]
    lines += [f"{quoted(column.name)} {SQL_TYPES[column.type]}" for column in columns]
    await db.execute(f"create table {qualified(table)} ({', '.join(lines)})")
    await db.execute(f"alter table {qualified(table)} enable row level security")
    # One table has one owner, so the policy is a constant: no column to store, nothing to compare per row.
    await db.execute(
        f"create policy own_account on {qualified(table)} to {API_ROLE} "
        f"using (nullif(current_setting('millrace.account', true), '')::uuid = '{account_id}')"
    )
    await db.execute(f"grant select on {qualified(table)} to {API_ROLE}")


async def exists(db: Connection, table: str) -> bool:
    """Whether there is such a table."""
    found: bool = await db.fetchval("select to_regclass($1) is not null", qualified(table))
    return found


async def drop(db: Connection, table: str) -> None:
    """Drop a table with its before-images, if there are any."""
    await db.execute(f"drop table if exists {qualified(table)}, {qualified(images(table))}")


async def copy_rows(db: Connection, table: str, columns: Sequence[Column], source: AsyncIterator[bytes]) -> None:
    """Bulk-insert rows that come as PostgreSQL's binary COPY format: lineage first, then `columns`."""
    names = [*LINEAGE, *(column.name for column in columns)]
    await db.copy_to_table(table, schema_name=SCHEMA, columns=names, source=source, format="binary")


async def remove_rows(db: Connection, table: str, job_id: UUID) -> None:
    """Delete what one job has stored in a table without a key."""
    await db.execute(f"delete from {qualified(table)} where _job = $1", job_id, timeout=3600)  # noqa: S608


async def index_rows(db: Connection, table: str) -> bool:
    """Give the table its row index, or bring it up to its end, so that a page of rows is found; whether it had none.

    Rows of a job lie nearly in the order of their numbers: a block-range index finds them, where a B-tree would double
    the work of an import. Writers wait while it is made. Raises LockNotAvailableError where one of them keeps on.
    """
    if await db.fetchval("select to_regclass($1) is not null", qualified(_index(table))):
        await summarize(db, table)
        return False
    await db.execute("set local lock_timeout = '1s'")
    await db.execute(
        f"create index {quoted(_index(table))} on {qualified(table)} using brin (_row)", timeout=INDEX_TIMEOUT_S
    )
    return True


async def summarize(db: Connection, table: str) -> None:
    """Bring the table's row index up to its end, if it has one."""
    await db.execute("select brin_summarize_new_values(to_regclass($1))", qualified(_index(table)))


async def add_key(db: Connection, table: str, keys: Sequence[str]) -> None:
    """Make these columns name a row: no two rows with the same values, none with a null. May take long.

    Also what a table needs whose rows change: before-images, and an index on the lineage, which is then out of order.
    Raises InputError: rows share a key, or lack one.
    """
    parts = key_parts(table, keys)
    nameless = await db.fetchval(_SQL["nameless"].format_map(parts), timeout=INDEX_TIMEOUT_S)
    shared = await db.fetch(_SQL["repeated_keys"].format_map(parts), timeout=INDEX_TIMEOUT_S)
    if nameless or shared:
        raise _not_unique(keys, nameless, [row["keys"] for row in shared])
    names = ", ".join(quoted(key) for key in keys)
    key, lineage, name = quoted(part(table, "key")), quoted(part(table, "job")), qualified(table)
    await db.execute(f"create unique index {key} on {name} ({names})", timeout=INDEX_TIMEOUT_S)
    await db.execute(f"create index {lineage} on {name} (_job, _row)", timeout=INDEX_TIMEOUT_S)
    was = qualified(images(table))
    await db.execute(_SQL["create_images"].format(was=was, table=name))
    await db.execute(f"alter table {was} enable row level security")  # nobody reads it but workers
    await db.execute(f"create index {quoted(part(table, 'was_by'))} on {was} (_by, _by_row)")
    await db.execute(f"create index {quoted(part(table, 'was_job'))} on {was} (_job, _row)")


def key_parts(table: str, keys: Sequence[str]) -> dict[str, str]:
    """The parts of statements that look at a table by its key."""
    return {
        "table": qualified(table),
        "keys": ", ".join(quoted(key) for key in keys),
        "keys_json": json_of(keys),
        "bare_nameless": " or ".join(f"{quoted(key)} is null" for key in keys),
    }


def json_of(columns: Sequence[str], alias: str = "") -> str:
    """An expression for some columns as a JSON object."""
    pairs = (f"{literal(name)}, {alias}{quoted(name)}" for name in columns)
    return f"jsonb_build_object({', '.join(pairs)})"


def images(table: str) -> str:
    """The name of the table that holds the before-images of another one's rows."""
    return part(table, "was")


def key_index(table: str) -> str:
    """The name of the index that holds a table's key, as SQL text."""
    return qualified(part(table, "key"))


def part(table: str, suffix: str) -> str:
    """A name for something that belongs to a table; its end, which makes it unique, is never cut off."""
    readable, unique = table[:-13], table[-13:]
    return f"{readable[: NAME_BYTES - 14 - len(suffix)]}{unique}_{suffix}"


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL text."""
    return "'" + text.replace("'", "''") + "'"


def qualified(name: str) -> str:
    """The name of a dataset's table as SQL text."""
    return f"{SCHEMA}.{quoted(name)}"


def _index(table: str) -> str:
    return f"{table}_row"


def _not_unique(keys: Sequence[str], nameless: int, shared: Sequence[Mapping[str, Any]]) -> InputError:
    named = "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in shared)
    faults = ([f"{nameless} rows have no value there"] if nameless else []) + (
        [f"several rows share {named[:500]}"] if named else []
    )
    return InputError(
        "keys_not_unique",
        f"The columns {', '.join(keys)} cannot be the key of this dataset: {' and '.join(faults)}.",
        suggestion="Choose keys that name each row, or load the dataset anew with mode=replace and these keys.",
    )
