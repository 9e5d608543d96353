"""A dataset: a typed PostgreSQL table that an account's jobs fill."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"

LINEAGE = ("_row", "_job")
"""Columns that every dataset has beside its own: the row number in the input, and the job that stored it."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as stored. `columns` is None until the first chunk gave it its shape.

    `keys` are the columns that name a row, once there was an upsert: no two rows have the same values there, or none.
    """

    id: UUID
    account_id: UUID
    name: str
    table_name: str
    columns: tuple[Column, ...] | None
    created_at: datetime
    keys: tuple[str, ...] | None = None


def checked_name(name: str) -> str:
    """Return `name` if it may name a dataset. Raises InputError."""
    if re.fullmatch(NAME_PATTERN, name):
        return name
    raise InputError(
        "invalid_dataset_name",
        f"{name!r} cannot name a dataset.",
        suggestion="Use 1 to 48 lower-case letters, digits and underscores, starting with a letter.",
    )


def table_name(name: str, dataset_id: UUID) -> str:
    """Name the table of a dataset: readable first, then unique over all accounts."""
    return f"{name}_{dataset_id.hex[-12:]}"


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows a dataset has; about so many unless they were counted."""

    rows: int
    is_counted: bool


def columns_to_json(columns: Sequence[Column]) -> list[dict[str, str | int]]:
    """Write columns as stored and shown: name, type and, for numeric, scale."""
    return [{"name": c.name, "type": c.type.value} | ({} if c.scale is None else {"scale": c.scale}) for c in columns]


def columns_from_json(stored: Sequence[dict[str, str | int]]) -> tuple[Column, ...]:
    """Read back what `columns_to_json` wrote."""
    return tuple(
        Column(str(c["name"]), ColumnType(str(c["type"])), int(c["scale"]) if "scale" in c else None) for c in stored
    )
