"""Reads the rows of datasets: job by job in the order they were submitted, each job's in the order of its input.

A chunk is never committed before the one ahead of it, so who pages through a job that still runs misses nothing of it.
The numbers of a job's rows are dense, so a range of numbers is read at a time, with the help of a block-range index.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.dataset import LINEAGE, Dataset
from service.domain.errors import InputError
from service.domain.processor import ExportFormat
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import qualified, quoted

_SQL = load("dataset")

EXPORT_ROWS = 50_000
"""Rows that one statement of an export covers."""

NEVER, BARE = "\x01", "\x02"
"""Quote and delimiter that let COPY give JSON as it stands: it holds no control character, so nothing is quoted."""

Output = Callable[[bytes], Coroutine[Any, Any, None]]
Count = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON objects in text, and the cursor behind the last one (None when nothing follows yet)."""

    rows: list[str]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """Behind row number `row` of job `job_id`."""

    job_id: UUID
    row: int


async def page(db: Connection, dataset: Dataset, *, cursor: str | None, limit: int) -> Page:
    """The next rows behind `cursor`, at most `limit`. Raises InputError for what is no cursor."""
    if dataset.columns is None:
        return Page([], None)
    start = None if cursor is None else _position(cursor)
    await db.execute("set local enable_seqscan = off")
    found: list[Record] = []
    for job in await _jobs(db, dataset, start):
        behind = start.row if start and start.job_id == job["id"] else 0
        found += await _behind(db, dataset, job, behind, limit - len(found))
        if len(found) == limit:
            return Page([row["json"] for row in found], f"{job['id']}.{found[-1]['_row']}")
    return Page([row["json"] for row in found], None)


async def export(
    db: Connection, dataset: Dataset, wanted: ExportFormat, output: Output, count: Count, timeout_s: float
) -> None:
    """Write the dataset's own columns into `output`, piece by piece, and tell `count` of each lot of rows behind it.

    CSV has a header. Needs a transaction of isolation repeatable read, so that all pieces are of one moment.
    """
    await db.execute("set local enable_seqscan = off")
    names = ", ".join(quoted(column.name) for column in dataset.columns or ())
    table = qualified(dataset.table_name)
    if wanted == "csv":
        header = f"select {names} from {table} limit 0"  # noqa: S608
        await db.copy_from_query(header, output=output, format="csv", header=True)
        what = f"{names} from {table}"
    else:
        own = ", ".join("t." + quoted(column.name) for column in dataset.columns or ())
        what = f"(select row_to_json(r) from (select {own}) r) from {table} t"  # noqa: S608
    for job in await _jobs(db, dataset, None):
        for start in range(0, job["read"], EXPORT_ROWS):
            told = await db.copy_from_query(
                f"select {what} where _job = $1 and _row > $2 and _row <= $3 order by _row",
                job["id"],
                start,
                start + EXPORT_ROWS,
                output=output,
                format="csv",
                delimiter="," if wanted == "csv" else BARE,
                quote='"' if wanted == "csv" else NEVER,
                timeout=timeout_s,
            )
            await count(int(told.removeprefix("COPY ")))


async def _jobs(db: Connection, dataset: Dataset, start: Position | None) -> Sequence[Record]:
    return await db.fetch(_SQL["filled_by"], dataset.id, start and start.job_id)


async def _behind(db: Connection, dataset: Dataset, job: Record, row: int, limit: int) -> list[Record]:
    names = ", ".join("t." + quoted(name) for name in (*LINEAGE, *(c.name for c in dataset.columns or ())))
    statement = (
        f"select _row, (select row_to_json(r) from (select {names}) r)::text as json "  # noqa: S608
        f"from {qualified(dataset.table_name)} t "
        "where _job = $1 and _row > $2 and _row <= $3 order by _row limit $4"
    )
    found: list[Record] = []
    width = limit
    while row < job["read"] and len(found) < limit:
        found += await db.fetch(statement, job["id"], row, row + width, limit - len(found))
        row, width = row + width, width * 2  # rejects leave gaps, and long ones are crossed in few steps
    return found


def _position(cursor: str) -> Position:
    job_id, _, row = cursor.partition(".")
    try:
        if row.isdecimal() and len(row) < 19:
            return Position(UUID(job_id), int(row))
    except ValueError:
        pass
    raise InputError(
        "invalid_cursor", f"{cursor!r} is no cursor.", suggestion="Pass next_cursor of the page before, unchanged."
    )
