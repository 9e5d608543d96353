"""Reads the rows of datasets: job by job in the order they were submitted, each job's in the order of its input.

A chunk is never shown before the one ahead of it, so who pages through a job that still runs misses nothing of it.
The numbers of a job's rows are dense, so a range of numbers is read at a time, with the help of a block-range index.
Sorted by a column, rows are read as they are at that moment.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import QueryCanceledError, Record

from service.domain.chunk import Column, ColumnType
from service.domain.dataset import LINEAGE, Dataset
from service.domain.errors import InputError
from service.domain.processor import ExportFormat
from service.domain.row_filter import Condition, Wanted, checked
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import SQL_TYPES, qualified, quoted

_SQL = load("dataset")

EXPORT_ROWS = 50_000
"""Rows that one statement of an export covers."""

NEVER, BARE = "\x01", "\x02"
"""Quote and delimiter that let COPY give JSON as it stands: it holds no control character, so nothing is quoted."""

Output = Callable[[bytes], Coroutine[Any, Any, None]]
Count = Callable[[int], Awaitable[None]]

ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON objects in text, and the cursor behind the last one (None when nothing follows yet)."""

    rows: list[str]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Behind row number `row` of job `job_id`; in a sorted page, behind `value` too."""

    job_id: UUID
    row: int
    value: str | None = None


class Bound:
    """Values of a statement, each behind the placeholder that stands for it."""

    def __init__(self, *values: object) -> None:
        self.values = [*values]

    def place(self, value: object) -> str:
        """Add a value; its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"


async def page(
    db: Connection, dataset: Dataset, *, cursor: str | None, limit: int, wanted: Wanted = ALL, timeout_s: float = 60
) -> Page:
    """The next rows behind `cursor`, at most `limit`. Raises InputError: no cursor, or it takes over `timeout_s`."""
    if dataset.columns is None:
        return Page([], None)
    await db.execute("select set_config('statement_timeout', $1, true)", f"{timeout_s * 1000:.0f}")
    try:
        async with asyncio.timeout(2 * timeout_s):  # it may take several statements
            if wanted.sort is not None:
                return await _sorted(db, dataset, wanted, wanted.sort, cursor, limit)
            return await _in_order(db, dataset, wanted, cursor, limit)
    except (QueryCanceledError, TimeoutError) as error:
        raise InputError(
            "query_too_slow",
            f"Finding these rows takes longer than {timeout_s:g} seconds.",
            suggestion="Name a job, ask for fewer rows, or export the dataset with the same conditions.",
        ) from error


async def export(
    db: Connection,
    dataset: Dataset,
    form: ExportFormat,
    output: Output,
    count: Count,
    timeout_s: float,
    wanted: Wanted = ALL,
    *,
    as_is: bool = False,
) -> None:
    """Write the dataset's own columns into `output`, piece by piece, and tell `count` of each lot of rows behind it.

    CSV has a header, and unless `as_is` no text that a spreadsheet runs. Needs a transaction of isolation repeatable
    read, so that all pieces are of one moment.
    """
    await db.execute("set local enable_seqscan = off")
    columns = exported(dataset, wanted)
    table = qualified(dataset.table_name)
    if form == "csv":
        names = ", ".join(quoted(column.name) for column in columns)
        header = f"select {names} from {table} limit 0"  # noqa: S608
        await db.copy_from_query(header, output=output, format="csv", header=True)
        what = ", ".join(_cell(column, as_is) for column in columns) + f" from {table} t"
    else:
        own = ", ".join("t." + quoted(column.name) for column in columns)
        what = f"(select row_to_json(r) from (select {own}) r) from {table} t"  # noqa: S608
    for job in await _jobs(db, dataset, wanted, None):
        for start in range(0, job["read"], EXPORT_ROWS):
            bound = Bound(job["id"], start, start + EXPORT_ROWS)
            told = await db.copy_from_query(
                f"select {what} where {_range(wanted, bound)} order by _row",
                *bound.values,
                output=output,
                format="csv",
                delimiter="," if form == "csv" else BARE,
                quote='"' if form == "csv" else NEVER,
                timeout=timeout_s,
            )
            await count(int(told.removeprefix("COPY ")))


def exported(dataset: Dataset, wanted: Wanted) -> list[Column]:
    """The columns of an export: the dataset's own, or those asked for."""
    return [column for column in _shown(dataset, wanted) if wanted.columns or column.name not in LINEAGE]


async def _in_order(db: Connection, dataset: Dataset, wanted: Wanted, cursor: str | None, limit: int) -> Page:
    start = None if cursor is None else _position(cursor)
    await db.execute("set local enable_seqscan = off")
    found: list[Record] = []
    for job in await _jobs(db, dataset, wanted, start):
        behind = start.row if start and start.job_id == job["id"] else 0
        found += await _behind(db, dataset, wanted, job, behind, limit - len(found))
        if len(found) == limit:
            return Page([row["json"] for row in found], f"{job['id']}.{found[-1]['_row']}")
    return Page([row["json"] for row in found], None)


async def _sorted(db: Connection, dataset: Dataset, wanted: Wanted, by: Column, cursor: str | None, limit: int) -> Page:
    column, bound = "t." + quoted(by.name), Bound()
    conditions = [*_conditions(wanted, bound)]
    if wanted.job_id is not None:
        conditions.append(f"_job = {bound.place(wanted.job_id)}")
    if cursor is not None:
        conditions.append(_after(column, by, wanted.is_descending, _sorted_position(cursor, by), bound))
    found = await db.fetch(
        f"select _row, _job, {column}::text as value, {_json(dataset, wanted)} as json "  # noqa: S608
        f"from {qualified(dataset.table_name)} t where {' and '.join(conditions) or 'true'} "
        f"order by {column} {'desc' if wanted.is_descending else 'asc'} nulls last, _job, _row "
        f"limit {bound.place(limit)}",
        *bound.values,
    )
    last = found[-1] if len(found) == limit else None
    following = None if last is None else _cursor(Position(last["_job"], last["_row"], last["value"]))
    return Page([row["json"] for row in found], following)


def _after(column: str, by: Column, is_descending: bool, at: Position, bound: Bound) -> str:
    """Rows behind a position in the order by a column, then job and row; nulls come last either way."""
    behind = f"(_job, _row) > ({bound.place(at.job_id)}, {bound.place(at.row)})"
    if at.value is None:
        return f"{column} is null and {behind}"
    value = f"{bound.place(at.value)}::text::{SQL_TYPES[by.type]}"
    beyond = "<" if is_descending else ">"
    return f"({column} {beyond} {value} or {column} = {value} and {behind} or {column} is null)"


async def _jobs(db: Connection, dataset: Dataset, wanted: Wanted, start: Position | None) -> Sequence[Record]:
    found = await db.fetch(_SQL["filled_by"], dataset.id, start and start.job_id)
    return [job for job in found if wanted.job_id in (None, job["id"])]


async def _behind(db: Connection, dataset: Dataset, wanted: Wanted, job: Record, row: int, limit: int) -> list[Record]:
    bound = Bound(job["id"], None, None)
    statement = (
        f"select _row, {_json(dataset, wanted)} as json "  # noqa: S608
        f"from {qualified(dataset.table_name)} t "
        f"where {_range(wanted, bound)} order by _row limit {bound.place(limit)}"
    )
    found: list[Record] = []
    width = limit
    while row < job["read"] and len(found) < limit:
        bound.values[1:3] = [row, row + width]
        bound.values[-1] = limit - len(found)
        found += await db.fetch(statement, *bound.values)
        row, width = row + width, width * 2  # rejects leave gaps, and long ones are crossed in few steps
    return found


def _range(wanted: Wanted, bound: Bound) -> str:
    """The rows of job $1 behind $2 up to $3 that are wanted."""
    return " and ".join(["_job = $1 and _row > $2 and _row <= $3", *_conditions(wanted, bound)])


def _conditions(wanted: Wanted, bound: Bound) -> list[str]:
    return [_compared(condition, bound) for condition in wanted.conditions]


def _compared(condition: Condition, bound: Bound) -> str:
    column, sign = "t." + quoted(condition.column.name), condition.operator
    if condition.value is None:
        return f"{column} {sign}"
    kind = condition.column.type
    # A number may be larger than its column's type holds.
    target = "numeric" if kind in (ColumnType.INTEGER, ColumnType.BIGINT) else SQL_TYPES[kind]
    value = f"{bound.place(condition.value)}::text::{target}"
    match sign:
        case "~=":
            return f"strpos(lower({column}), lower({value})) > 0"
        case "^=":
            return f"starts_with(lower({column}), lower({value}))"
        case "!=":
            return f"{column} is distinct from {value}"
    return f"{column} {sign} {value}"


def _shown(dataset: Dataset, wanted: Wanted) -> list[Column]:
    """The columns to be shown; lineage as if it were the dataset's own."""
    own = {column.name: column for column in dataset.columns or ()}
    known = {name: Column(name, ColumnType.TEXT) for name in LINEAGE} | own
    return [known[name] for name in wanted.columns or known]


def _json(dataset: Dataset, wanted: Wanted) -> str:
    names = ", ".join("t." + quoted(column.name) for column in _shown(dataset, wanted))
    return f"(select row_to_json(r) from (select {names}) r)::text"  # noqa: S608


def _cell(column: Column, as_is: bool) -> str:
    name = "t." + quoted(column.name)
    is_free = column.type is ColumnType.TEXT and column.name not in LINEAGE
    return f"millrace.spreadsheet_safe({name})" if is_free and not as_is else name


def _cursor(position: Position) -> str:
    said = json.dumps([str(position.job_id), position.row, position.value])
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _sorted_position(cursor: str, by: Column) -> Position:
    try:
        said = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        job_id, row, value = said
        if isinstance(row, int) and 0 < row < 2**63 and (value is None or isinstance(value, str)):
            value = None if value is None else checked(by, value)
            return Position(UUID(job_id), row, value)
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error, InputError):
        pass
    raise _no_cursor(cursor)


def _position(cursor: str) -> Position:
    job_id, _, row = cursor.partition(".")
    try:
        if row.isdecimal() and len(row) < 19:
            return Position(UUID(job_id), int(row))
    except ValueError:
        pass
    raise _no_cursor(cursor)


def _no_cursor(cursor: str) -> InputError:
    return InputError(
        "invalid_cursor", f"{cursor!r} is no cursor.", suggestion="Pass next_cursor of the page before, unchanged."
    )
