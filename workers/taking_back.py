"""Undoes a job range by range: rows, notes and the checkpoint of the undo move in one transaction, under its fence.

The undo of a replace is one step: the dataset shows again what it showed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from service.domain.chunk import Cursor
from service.domain.dataset import Dataset
from service.domain.errors import NotFound, Occupied
from service.domain.processor import Report
from service.domain.undo import Undoable, refusal
from service.store import attachments, datasets, landings, undos
from service.store.claims import Claim
from service.store.database import Connection, Database
from workers.landing import patience_s

ROWS = 20_000
"""Rows of a job that one step looks at."""

Counts = dict[str, int]


async def step(database: Database, claim: Claim, job_id: UUID, cursor: Cursor | None) -> Report:
    """Take the next range back. Raises NotFound, StateError, Occupied, LeaseLost."""
    async with database.transaction() as db:
        dataset_id = await undos.dataset_of(db, claim.account_id, job_id)
        if dataset_id is None:
            raise NotFound("job with a dataset", job_id)
        dataset = await datasets.lock(db, dataset_id)
        stand = await landings.stand(db, claim)
        job = await undos.look(db, claim.account_id, job_id)
        counts = _counts(cursor)
        if job.undone_at is not None and job.undone_by == claim.job_id:
            return _ended(job, counts)  # a worker died behind the last range
        if (refused := refusal(job, claim.job_id)) is not None:
            raise refused
        if not stand.is_writing:
            await _begin(db, claim, dataset, job)
        if job.former is not None:
            await _show_former(db, dataset, job)
            counts = {**counts, "removed": job.stored}
        elif await _range(db, claim, dataset, job, counts):
            await undos.keep_cursor(db, claim, counts)
            return Report(counts["row"], job.read, "undoing", cursor=counts)
        await attachments.forget_job(db, job_id)
        await undos.end(db, job_id)
        await undos.keep_cursor(db, claim, counts)
    return _ended(job, counts)


async def _begin(db: Connection, claim: Claim, dataset: Dataset, job: Undoable) -> None:
    for writer, replaces in await landings.writers(db, dataset.id, claim.job_id):
        if replaces or job.former is not None:
            raise Occupied(
                "dataset_busy",
                f"Job {writer} is writing into this dataset; the undo waits for its end.",
                suggestion=f"Wait, or cancel job {writer}.",
                retry_after_s=patience_s(claim),
            )
    await landings.begin(db, claim, dataset.id, dataset.table_name)
    await undos.begin(db, job.id, claim.job_id)


async def _range(db: Connection, claim: Claim, dataset: Dataset, job: Undoable, counts: Counts) -> bool:
    """Take one range back, add it to the counts, and say whether there is more."""
    first, last = counts["row"], min(counts["row"] + ROWS, job.read)
    # Of a file read in ranges, rows behind those that are counted may be there.
    done = await undos.rows(db, dataset.table_name, job.id, first, last if last < job.read else undos.LAST)
    await landings.add_notes(db, claim, done.kept, len(done.kept))
    counts["row"] = last
    counts["removed"] += done.removed
    counts["restored"] += done.restored
    counts["kept"] += len(done.kept)
    return last < job.read


async def _show_former(db: Connection, dataset: Dataset, job: Undoable) -> None:
    former = await landings.kept_table(db, job.id, "former")
    assert former is not None
    assert dataset.columns is not None
    await landings.let_go(db, former.name)
    await datasets.show_table(db, dataset.id, former.name, former.columns, former.keys)
    replaced = landings.KeptTable(dataset.table_name, dataset.id, dataset.columns, dataset.keys)
    await landings.keep_table(db, dataset.account_id, job.id, replaced, "dropped")


def _counts(cursor: Cursor | None) -> Counts:
    stored: Mapping[str, int | str | None] = cursor or {}
    return {name: int(stored.get(name) or 0) for name in ("row", "removed", "restored", "kept")}


def _ended(job: Undoable, counts: Counts) -> Report:
    told = {name: counts[name] for name in ("removed", "restored", "kept")}
    return Report(job.read, job.read, output={"job_id": str(job.id), **told})
