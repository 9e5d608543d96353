"""Who writes into a dataset: how a job begins, what it notes of its rows, and the tables that are kept beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.chunk import Column
from service.domain.dataset import columns_from_json, columns_to_json
from service.domain.note import Note, NoteCode
from service.store import attachments, tables
from service.store.claims import Claim, LeaseLost
from service.store.database import Connection
from service.store.queries import load

_SQL = load("landing")
_KEPT = load("dataset")

MOST_NOTES = 10_000
"""Of one job; those behind are counted only."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a job is with its dataset: the table its rows went into, and whether it has begun since it last ended."""

    landed_in: str | None
    is_writing: bool
    undone_by: UUID | None
    undo_expired_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeptTable:
    """A table that its dataset does not show."""

    name: str
    dataset_id: UUID
    columns: tuple[Column, ...]
    keys: tuple[str, ...] | None


async def stand(db: Connection, claim: Claim) -> Stand:
    """How far the job is, held until the transaction ends; lock the dataset before. Raises LeaseLost."""
    row = await db.fetchrow(_SQL["mine"], claim.job_id, claim.epoch)
    if row is None:
        raise LeaseLost
    return Stand(**row)


async def writers(db: Connection, dataset_id: UUID, job_id: UUID) -> list[tuple[UUID, bool]]:
    """The other jobs that have begun to write into a dataset and not ended, and whether each replaces it."""
    return [(row["id"], row["replaces"]) for row in await db.fetch(_SQL["writers"], dataset_id, job_id)]


async def begin(db: Connection, claim: Claim, dataset_id: UUID, table: str) -> None:
    """From now on the job writes into the dataset, its rows into that table. Raises LeaseLost."""
    if await db.fetchval(_SQL["begin"], claim.job_id, claim.epoch, dataset_id, table) is None:
        raise LeaseLost


async def forget(db: Connection, job_id: UUID) -> None:
    """The job has no notes, and was never undone."""
    await db.execute(_SQL["forget"], job_id)


async def add_notes(db: Connection, claim: Claim, notes: Sequence[Note], count: int) -> None:
    """Store notes on rows, as many as there is room for; `count` is how many rows they stand for."""
    if count:
        await db.execute(
            _SQL["note"],
            claim.job_id,
            claim.account_id,
            [note.row for note in notes],
            [note.code.value for note in notes],
            [note.other_job for note in notes],
            [note.other_row for note in notes],
            [note.keys for note in notes],
            MOST_NOTES,
            count,
        )


async def notes(db: Connection, job_id: UUID, *, after_row: int, limit: int) -> list[Note]:
    """Notes in row order, from the one after `after_row`."""
    rows = await db.fetch(_SQL["notes"], job_id, after_row, limit)
    return [Note(**{**row, "code": NoteCode(row["code"])}) for row in rows]


async def keep_table(db: Connection, account_id: UUID, job_id: UUID | None, table: KeptTable, kind: str) -> None:
    """Remember a table that its dataset does not show: `loading`, `former` or `dropped`; a replace's has a job."""
    keys = None if table.keys is None else list(table.keys)
    columns = columns_to_json(table.columns)
    await db.execute(_KEPT["keep_table"], table.name, account_id, table.dataset_id, kind, job_id, columns, keys)


async def kept_table(db: Connection, job_id: UUID, *kinds: str) -> KeptTable | None:
    """The table of that kind that a replace has left, if there is one."""
    row = await db.fetchrow(_KEPT["kept_tables_of"], job_id, list(kinds))
    if row is None:
        return None
    keys = None if row["keys"] is None else tuple(row["keys"])
    return KeptTable(row["name"], row["dataset_id"], columns_from_json(row["columns"]), keys)


async def let_go(db: Connection, name: str) -> None:
    """The table is the dataset's own again, or gone."""
    await db.fetchval(_KEPT["let_go_of_table"], name)


async def drop_kept(db: Connection, name: str) -> None:
    """Drop a kept table now."""
    await tables.drop(db, name)
    await let_go(db, name)


async def drop_next(db: Connection, *, keep_loading_s: float, keep_former_s: float, skip: int) -> bool:
    """Drop the table whose time came first, leaving `skip` of them out; False if there is none.

    Raises LockNotAvailableError: somebody still reads it. A replace whose former table goes can no longer be undone.
    """
    row = await db.fetchrow(_KEPT["to_drop"], keep_loading_s, keep_former_s, skip)
    if row is None:
        return False
    await db.execute("set local lock_timeout = '1s'")
    await drop_kept(db, row["name"])
    if row["replaced_by"] is not None:
        await db.execute(_SQL["expired"], row["replaced_by"])
        await attachments.forget_before(db, row["replaced_by"])
    return True
