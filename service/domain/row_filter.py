"""Which rows are wanted: conditions such as `age>=30`, read against a dataset's columns. Never SQL text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal
from uuid import UUID

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError

MOST = 20
"""Conditions of one request."""

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~=", "^=", "is null", "is not null"]

LINEAGE_TYPES = {"_row": ColumnType.BIGINT, "_job": ColumnType.UUID}

_CONDITION = re.compile(
    r"\s*(\w+)\s*(is not null\s*$|is null\s*$|!=|<=|>=|~=|\^=|=|<|>)(.*)", re.DOTALL | re.IGNORECASE
)
_FORM = "Write conditions as age>=30, name~=ann, born<2000-01-01 or email is null."
_WORDS = {
    ColumnType.INTEGER: "a whole number",
    ColumnType.BIGINT: "a whole number",
    ColumnType.DOUBLE: "a number",
    ColumnType.NUMERIC: "a number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATE: "a date such as 2024-01-31",
    ColumnType.TIMESTAMP: "a moment without an offset such as 2024-01-31T09:30:00",
    ColumnType.TIMESTAMPTZ: "a moment with an offset such as 2024-01-31T09:30:00Z (in a URL, + is %2B)",
    ColumnType.UUID: "a UUID",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A column compared with a value, which is text that PostgreSQL reads as the column's type."""

    column: Column
    operator: Operator
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows that fulfil all conditions, of one job if it is named; by a column, or job by job in input order.

    `columns` are those to be shown, by default all.
    """

    conditions: tuple[Condition, ...] = ()
    job_id: UUID | None = None
    sort: Column | None = None
    is_descending: bool = False
    columns: tuple[str, ...] | None = None


def wanted(
    columns: Sequence[Column],
    *,
    where: Sequence[str] = (),
    sort: str | None = None,
    names: str | None = None,
    job: str | None = None,
) -> Wanted:
    """Read what a request says. Raises InputError: no such column, or nothing that it could be compared with."""
    by_name = {name: Column(name, kind) for name, kind in LINEAGE_TYPES.items()} | {c.name: c for c in columns}
    if len(where) > MOST:
        raise InputError(
            "invalid_filter", f"There are {len(where)} conditions.", suggestion=f"Use at most {MOST} of them."
        )
    shown = None
    if names is not None:
        shown = tuple(dict.fromkeys(_column(name.strip(), by_name).name for name in names.split(",")))
    return Wanted(
        conditions=tuple(_condition(text, by_name) for text in where),
        job_id=None if job is None else _job(job),
        sort=None if sort is None or sort == "_row" else _sortable(_column(sort.removeprefix("-"), by_name)),
        is_descending=sort is not None and sort.startswith("-"),
        columns=shown,
    )


def _condition(text: str, columns: dict[str, Column]) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InputError("invalid_filter", f"where={text[:200]!r} is no condition.", suggestion=_FORM)
    name, sign, value = found[1], " ".join(found[2].lower().split()), found[3].strip()
    column = _column(name, columns)
    match sign:
        case "is null" | "is not null":
            return Condition(column, sign)
        case "~=" | "^=" if column.type is not ColumnType.TEXT:
            raise _unfit(column, f"{sign} looks into text, and {column.name} is {column.type}.")
        case "=" | "!=" | "<" | "<=" | ">" | ">=" | "~=" | "^=":
            return Condition(column, sign, checked(column, value))
    raise AssertionError(sign)


def checked(column: Column, value: str) -> str:
    """The value as text that PostgreSQL can read as the column's type. Raises InputError."""
    try:
        return _VALUES[column.type](value)
    except (ValueError, InvalidOperation, OverflowError, KeyError):
        if column.type is ColumnType.JSONB:
            raise _unfit(column, f"{column.name} is jsonb, which is only compared with null.") from None
        said = _WORDS.get(column.type, "text without NUL characters")
        raise _unfit(column, f"{value[:200]!r} cannot be compared with {column.name}, which needs {said}.") from None


def _unfit(column: Column, message: str) -> InputError:
    return InputError("invalid_filter", message, suggestion=_FORM)


def _column(name: str, columns: dict[str, Column]) -> Column:
    if (column := columns.get(name)) is not None:
        return column
    raise InputError(
        "unknown_column",
        f"The dataset has no column {name[:100]!r}; it has {', '.join(columns)[:500]}.",
        suggestion="GET /v1/datasets/{name} lists the columns and their types.",
    )


def _sortable(column: Column) -> Column:
    if column.type is ColumnType.JSONB:
        raise InputError("invalid_sort", f"{column.name} is jsonb, which has no order.", suggestion="Use another one.")
    return column


def _job(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise InputError("invalid_filter", f"{given[:100]!r} is no job.", suggestion="Give the id of a job.") from None


def _whole(text: str) -> str:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text) or abs(int(text)) >= 2**63:
        raise ValueError(text)
    return text


def _decimal(text: str) -> str:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 1000 or "_" in text:
        raise ValueError(text)
    return text


def _double(text: str) -> str:
    if "_" in text or (math.isinf(float(text)) and not re.fullmatch(r"(?i)[+-]?inf(inity)?", text)):
        raise ValueError(text)
    return text


def _boolean(text: str) -> str:
    return {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}[text.lower()]


def _timestamp(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError(text)
    return moment.isoformat()


def _timestamptz(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.isoformat()


def _text(text: str) -> str:
    text.encode()  # no half of a surrogate pair
    if "\0" in text:
        raise ValueError(text)
    return text


_VALUES = {
    ColumnType.INTEGER: _whole,
    ColumnType.BIGINT: _whole,
    ColumnType.DOUBLE: _double,
    ColumnType.NUMERIC: _decimal,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: lambda text: date.fromisoformat(text).isoformat(),
    ColumnType.TIMESTAMP: _timestamp,
    ColumnType.TIMESTAMPTZ: _timestamptz,
    ColumnType.UUID: lambda text: str(UUID(text)),
    ColumnType.TEXT: _text,
}
