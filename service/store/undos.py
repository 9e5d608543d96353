"""Takes back what a job has stored in a table: what it made is removed, what it changed is as it was before.

What another job has changed since stays. Each call is one range of the job's rows; doing it twice does no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.domain.chunk import Cursor
from service.domain.dataset import LINEAGE
from service.domain.errors import NotFound
from service.domain.job import State
from service.domain.note import Note, NoteCode
from service.domain.undo import Undoable
from service.store import tables
from service.store.claims import Claim, LeaseLost
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import quoted

_SQL = load("merge", "templates")
_UNDO = load("undo")

WHOLE_TIMEOUT_S = 3600

LAST = 2**63 - 1
"""The highest number that a row could have."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Of a range of a job's rows."""

    removed: int
    restored: int
    kept: Sequence[Note]


async def look(db: Connection, account_id: UUID, job_id: UUID) -> Undoable:
    """A job as an undo finds it, held until the transaction ends. Raises NotFound."""
    row = await db.fetchrow(_UNDO["look"], job_id, account_id)
    if row is None:
        raise NotFound("job", job_id)
    return Undoable(**{**row, "state": State(row["state"]), "later": tuple(row["later"])})


async def dataset_of(db: Connection, account_id: UUID, job_id: UUID) -> UUID | None:
    """The dataset that a job has filled, None if there is no such job, or it fills none."""
    found: UUID | None = await db.fetchval(_UNDO["dataset_of"], job_id, account_id)
    return found


async def begin(db: Connection, job_id: UUID, undo_id: UUID) -> None:
    """Say of a job which other one undoes it."""
    await db.execute(_UNDO["undone_by"], job_id, undo_id)


async def end(db: Connection, job_id: UUID) -> None:
    """Say of a job that it is undone."""
    await db.execute(_UNDO["undone"], job_id)


async def keep_cursor(db: Connection, claim: Claim, cursor: Cursor) -> None:
    """Move the checkpoint of an undo with the rows that it takes back. Raises LeaseLost."""
    if await db.fetchval(_UNDO["keep_cursor"], claim.job_id, claim.epoch, cursor) is None:
        raise LeaseLost


async def expire(db: Connection, *, keep_s: float, limit: int) -> int:
    """Forget the before-images of jobs that ended longer ago; returns how many jobs."""
    stale = await db.fetch(_UNDO["stale"], keep_s, limit)
    for job in stale:
        if job["landed_in"] and await tables.exists(db, tables.images(job["landed_in"])):
            was = tables.qualified(tables.images(job["landed_in"]))
            await db.execute(_SQL["forget_all_images"].format(was=was), job["id"], timeout=WHOLE_TIMEOUT_S)
        await db.execute(_UNDO["expired"], job["id"])
    return len(stale)


async def take_back(db: Connection, table: str, job_id: UUID) -> None:
    """All rows of a job at once."""
    await rows(db, table, job_id, 0, LAST)


async def rows(db: Connection, table: str, job_id: UUID, first: int, last: int) -> TakenBack:
    """The rows that a job has numbered `first + 1 … last`. The dataset must be locked."""
    parts = await _parts(db, table)
    span = (job_id, first, last)
    kept: list[Note] = []
    restored = 0
    if parts is not None:
        await db.execute(_SQL["prepare"])
        found = await db.fetch(_SQL["undo_pass_on"].format_map(parts), *span, timeout=WHOLE_TIMEOUT_S)
        kept = [Note(code=NoteCode.EDITED_SINCE, **row) for row in found]
        restored = _count(await db.execute(_SQL["undo_restore"].format_map(parts), *span, timeout=WHOLE_TIMEOUT_S))
        await db.execute(_SQL["forget_images"].format_map(parts), *span, timeout=WHOLE_TIMEOUT_S)
    remove = _SQL["undo_remove"].format(table=tables.qualified(table))
    removed = _count(await db.execute(remove, *span, timeout=WHOLE_TIMEOUT_S))
    return TakenBack(removed, restored, kept)


async def _parts(db: Connection, table: str) -> Mapping[str, str] | None:
    """The parts of the statements; None where the table has no key, so that nothing in it was ever changed."""
    names = await db.fetch(_UNDO["columns_of"], tables.qualified(table))
    keys = await db.fetch(_UNDO["key_of"], tables.qualified(table), tables.key_index(table))
    if not keys:
        return None
    own = [row["name"] for row in names if row["name"] not in LINEAGE]
    return {
        "table": tables.qualified(table),
        "was": tables.qualified(tables.images(table)),
        "set_v": ", ".join(f"{quoted(name)} = v.{quoted(name)}" for name in own),
        "w_keys_json": tables.json_of([row["name"] for row in keys], "w."),
    }


def _count(told: str) -> int:
    return int(told.rpartition(" ")[2])
