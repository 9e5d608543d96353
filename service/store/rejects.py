"""Rejects: input rows that were refused, with the reason and the original text, and what has closed them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from asyncpg import Record

from service.domain.chunk import Fault, Reject
from service.store import binary
from service.store.database import Connection
from service.store.queries import load

_SQL = load("reject")

_COLUMNS = (
    "job_id", "account_id", "row", "line", "column", "code", "message", "suggestion", "raw", "faults", "cells", "cut",
)  # fmt: skip

Which = Literal["open", "closed", "all"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A reject, and the job that brought the row in since, if one has."""

    reject: Reject
    closed_by: UUID | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a job that were refused, and now are stored, or left out on purpose."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0


async def add(db: Connection, job_id: UUID, account_id: UUID, rejects: Sequence[Reject]) -> None:
    """Store the rejects of one chunk, inside its transaction."""
    if not rejects:
        return
    job, account = binary.uuid(job_id), binary.uuid(account_id)
    rows = (binary.row(job, account, *_fields(reject)) for reject in rejects)
    await db.copy_to_table(
        "reject", schema_name="millrace", columns=_COLUMNS, source=binary.stream(rows), format="binary"
    )


async def tell_header(db: Connection, job_id: UUID, account_id: UUID, names: Sequence[str]) -> None:
    """Keep what a job's file calls its columns, once."""
    await db.execute(_SQL["tell_header"], job_id, account_id, names)


async def header(db: Connection, job_id: UUID) -> list[str]:
    """What a job's file calls its columns, or else those of the dataset, in their order."""
    return list(await db.fetchval(_SQL["header"], job_id) or ())


async def correctable(db: Connection, job_id: UUID) -> dict[str, Any] | None:
    """The last checkpoint of a job, which knows how its file is to be read; None if its rows are no longer there."""
    row = await db.fetchrow(_SQL["correctable"], job_id)
    return row["cursor"] if row is not None and row["has_its_rows"] else None


async def brought_in(db: Connection, job_id: UUID) -> Counts:
    """The rows that a correction has stored, or left out on purpose."""
    row = await db.fetchrow(_SQL["brought_in"], job_id)
    assert row is not None
    return Counts(**row)


async def page(
    db: Connection, job_id: UUID, *, after_row: int, limit: int, which: Which = "open", all_faults: bool = True
) -> list[Stored]:
    """Rejects in row order, from the one after `after_row`."""
    rows = await db.fetch(_SQL["list"], job_id, after_row, limit, which, all_faults)
    return [_stored(row) for row in rows]


async def cells_of(db: Connection, job_id: UUID, rows: Sequence[int]) -> dict[int, list[str | None] | None]:
    """The fields of rejects by row."""
    return {row["row"]: row["cells"] for row in await db.fetch(_SQL["cells_of"], job_id, rows)}


async def lock_open(db: Connection, job_id: UUID, rows: Sequence[int]) -> dict[int, Record]:
    """Those of the rows that are open rejects, with `code`, `column`, `cells`, `raw`; nobody else closes them now."""
    return {row["row"]: row for row in await db.fetch(_SQL["lock_open"], job_id, rows)}


async def close(db: Connection, job_id: UUID, by: UUID, rows: Sequence[int]) -> None:
    """Say that job `by` brought these rows in."""
    await db.execute(_SQL["close"], job_id, by, rows)


async def reopen(db: Connection, by: UUID) -> list[int]:
    """Take back what job `by` has closed; returns the rows."""
    return [row["row"] for row in await db.fetch(_SQL["reopen"], by)]


async def mend(db: Connection, job_id: UUID, rejects: Sequence[Reject]) -> None:
    """Say what is wrong with open rejects by now. Their lines stay those of the job's own file."""
    records = [
        (job_id, r.row, r.column, r.code, r.message, r.suggestion, r.raw, list(map(asdict, r.faults)), r.cells, r.cut)
        for r in rejects
    ]
    await db.executemany(_SQL["mend"], records)


async def move_counts(db: Connection, job_id: UUID, counts: Counts, sign: int = 1) -> None:
    """Count rows of a job as stored that were counted as rejected; with `sign` −1 the other way round."""
    await db.execute(
        _SQL["move_counts"], job_id, *(sign * n for n in (counts.inserted, counts.updated, counts.skipped))
    )


def _fields(reject: Reject) -> tuple[bytes, ...]:
    text = binary.text
    return (
        binary.bigint(reject.row), binary.bigint(reject.line), text(reject.column), text(reject.code),
        text(reject.message), text(reject.suggestion), text(reject.raw),
        binary.jsonb(json.dumps(list(map(asdict, reject.faults))) if reject.faults else "[]"),
        binary.texts(reject.cells), binary.boolean(reject.cut),
    )  # fmt: skip


def _stored(row: Record) -> Stored:
    given = dict(row)
    closed_by, closed_at = given.pop("closed_by"), given.pop("closed_at")
    faults = tuple(Fault(**fault) for fault in given.pop("faults"))
    cells = given.pop("cells")
    return Stored(Reject(**given, faults=faults, cells=None if cells is None else tuple(cells)), closed_by, closed_at)
