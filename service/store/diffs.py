"""Two datasets beside each other, row by row: what is in one only, and what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.chunk import ColumnType
from service.domain.dataset import Dataset
from service.domain.errors import InputError
from service.store import tables
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import literal, qualified, quoted

_SQL = load("diff", "templates")

TIMEOUT_S = 300

NUMBERS = {ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DOUBLE, ColumnType.NUMERIC}


@dataclass(frozen=True, slots=True)
class Page:
    """Differing rows as JSON objects in text, and the cursor behind the last one (None when nothing follows)."""

    rows: list[str]
    cursor: str | None


async def counts(db: Connection, one: Dataset, other: Dataset, keys: Sequence[str]) -> Mapping[str, int]:
    """How many rows are added, removed, changed and the same on the way from one dataset to the other.

    Raises InputError: keys that are no columns of both, or do not name a row.
    """
    _check_keys(one, other, keys)
    for dataset in (one, other):
        await _check_unique(db, dataset, keys)
    row = await db.fetchrow(_SQL["counts"].format_map(_parts(one, other, keys)), timeout=TIMEOUT_S)
    assert row is not None
    return dict(row)


async def page(
    db: Connection, one: Dataset, other: Dataset, keys: Sequence[str], *, cursor: str | None, limit: int
) -> Page:
    """The next rows that differ, in the order of their keys. Raises InputError."""
    _check_keys(one, other, keys)
    place = None if cursor is None else _place(cursor, keys)
    found = await db.fetch(_SQL["page"].format_map(_parts(one, other, keys)), place, limit, timeout=TIMEOUT_S)
    return Page([row["json"] for row in found], found[-1]["place"] if len(found) == limit else None)


def _check_keys(one: Dataset, other: Dataset, keys: Sequence[str]) -> None:
    for dataset in (one, other):
        names = {column.name for column in dataset.columns or ()}
        if lacking := [key for key in keys if key not in names]:
            raise InputError(
                "invalid_keys",
                f"Dataset {dataset.name!r} has no column {', '.join(lacking)}.",
                suggestion="Name columns that both datasets have.",
            )
    if unlike := [key for key in keys if len({_family(dataset, key) for dataset in (one, other)}) > 1]:
        raise InputError(
            "invalid_keys",
            f"The columns {', '.join(unlike)} have types that cannot be compared with each other.",
            suggestion="Choose other keys, or import again with the types of the other dataset.",
        )


def _family(dataset: Dataset, name: str) -> ColumnType:
    (found,) = (column.type for column in dataset.columns or () if column.name == name)
    return ColumnType.NUMERIC if found in NUMBERS else found


async def _check_unique(db: Connection, dataset: Dataset, keys: Sequence[str]) -> None:
    if dataset.keys is not None and set(dataset.keys) <= set(keys):
        return
    parts = {
        "table": qualified(dataset.table_name),
        "key_json": tables.json_of(keys, "a."),
        "a_keys": ", ".join(f"a.{quoted(key)}" for key in keys),
        "a_nameless": " or ".join(f"a.{quoted(key)} is null" for key in keys),
    }
    found = await db.fetch(_SQL["repeated"].format_map(parts), timeout=TIMEOUT_S)
    if found:
        named = "; ".join(f"{row['keys']} ({row['number']} times)" for row in found)
        raise InputError(
            "keys_not_unique",
            f"In dataset {dataset.name!r} the columns {', '.join(keys)} do not name one row each: {named[:500]}.",
            suggestion="Choose keys that do.",
        )


def _parts(one: Dataset, other: Dataset, keys: Sequence[str]) -> dict[str, str]:
    types = {column.name: column.type for column in other.columns or ()}
    shared = [column for column in one.columns or () if column.name in types and column.name not in keys]
    unlike = {column.name: _differ(quoted(column.name), exactly=column.type is types[column.name]) for column in shared}
    flags = ", ".join(f"case when {differ} then {literal(name)} end" for name, differ in unlike.items())
    either = {key: f"coalesce(a.{quoted(key)}, b.{quoted(key)})" for key in keys}
    return {
        "one": qualified(one.table_name),
        "other": qualified(other.table_name),
        "matches": " and ".join(f"a.{quoted(key)} = b.{quoted(key)}" for key in keys),
        "differs": " or ".join(unlike.values()) or "false",
        "columns": f"to_jsonb(array_remove(array[{flags}], null))" if unlike else "'[]'::jsonb",
        "either_keys": ", ".join(either.values()),
        "either_json": f"jsonb_build_object({', '.join(f'{literal(key)}, {text}' for key, text in either.items())})",
        "a_json": _whole(one, "a"),
        "b_json": _whole(other, "b"),
    }


def _differ(name: str, *, exactly: bool) -> str:
    if exactly:
        return f"a.{name} is distinct from b.{name}"
    return f"to_jsonb(a.{name}) is distinct from to_jsonb(b.{name})"  # 1 and 1.0 are the same there too


def _whole(dataset: Dataset, alias: str) -> str:
    own = ", ".join(f"{alias}.{quoted(column.name)}" for column in dataset.columns or ())
    return f"(select row_to_json(own) from (select {own}) as own)"  # noqa: S608


def _place(cursor: str, keys: Sequence[str]) -> list[Any]:
    try:
        place = json.loads(cursor)
    except ValueError:
        place = None
    if isinstance(place, list) and len(place) == len(keys):
        return place
    raise InputError(
        "invalid_cursor", f"{cursor!r} is no cursor.", suggestion="Pass next_cursor of the page before, unchanged."
    )
