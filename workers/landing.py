"""How the rows of a job get into their dataset: added, matched by key, or into a table that takes its place at the end.

`options_of` and `begin` once for an attempt (`join` for who helps it), `shape` once its columns are known, then for
each chunk, in its transaction, `bring` and, after the chunk before it is committed, `land`; `finish` in the one that
completes the job.

While a replace is under way, nobody else writes into its dataset, and it does not begin while somebody else does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from service.domain.chunk import RAW_LIMIT, Column, Reject
from service.domain.dataset import Dataset, table_name
from service.domain.errors import InputError, Occupied, Transient
from service.domain.note import Note, NoteCode
from service.domain.processor import Processor
from service.domain.row_options import RowOptions
from service.store import attachments, checks, claims, datasets, landings, merges, rejects, tables, undos
from service.store.claims import Claim
from service.store.database import Connection, Database
from service.store.landings import KeptTable, Stand
from service.store.merges import Merged, Refused
from workers.keys import REFUSALS, check_keys, other_keys
from workers.rules import Rules, cell_of

MOST_REPEATS = 1_000
"""Notes of one chunk on rows that met another of their own file."""

MOST_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a chunk's accepted rows."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    rejects: Sequence[Reject] = ()


class Landing:
    """Where one attempt's rows go. `claim` is the attempt as it stands after `begin`."""

    def __init__(self, claim: Claim, options: RowOptions, table: str, keys: tuple[str, ...] | None) -> None:
        self.claim = claim
        self.table = table
        self._rules = Rules(claim.account_id, options)
        self.is_ordered = bool(options.keys or keys or self._rules.unique)
        """Whether chunks must land in the order of the file: which row met which would hang on it otherwise."""
        self.is_any_order = not self.is_ordered and options.mode == "append"
        """Whether several may land at the same time, and in any order."""
        self._options = options

    async def shape(self, database: Database, columns: tuple[Column, ...], brought: Sequence[str] | None) -> None:
        """Make the table ready, ahead of the first chunk. Raises Transient, InputError.

        In a short transaction of its own: a worker frozen in mid-copy must not hold the lock that its successor needs.
        """
        assert self.claim.dataset_id is not None
        check_keys(self._options, columns, brought)
        async with database.transaction() as db:
            dataset = await datasets.lock(db, self.claim.dataset_id)
            await landings.stand(db, self.claim)
            if self._options.mode == "replace":
                await self._make_own_table(db, dataset, columns)
            else:
                await self._shape_dataset(db, dataset, columns)
            await self._rules.prepare(db, self.table, columns)

    async def bring(
        self, db: Connection, columns: Sequence[Column], payload: AsyncIterator[bytes], rows: int
    ) -> str | None:
        """Take a chunk's rows, a binary COPY stream in pieces; what `land` has to be told of them.

        Rows for a table without a key are at their place with that.
        """
        if not rows:
            return None
        assert self.claim.dataset_id is not None
        table, keys = await datasets.landing_place(db, self.claim.dataset_id)
        if self._options.mode == "replace":
            table, keys = self.table, self._own_keys(keys)
        if keys is None and not self._rules:
            await tables.copy_rows(db, table, columns, payload)
            return None
        await merges.stage(db, table, columns, payload)
        return table

    async def land(
        self, db: Connection, columns: Sequence[Column], brought: Sequence[str] | None, staged: str | None, rows: int
    ) -> Landed:
        """Bring what was staged to its place."""
        if staged is None:
            return Landed(inserted=rows)
        assert self.claim.dataset_id is not None
        _, keys = await datasets.merging_place(db, self.claim.dataset_id)
        keys = self._own_keys(keys)
        refused = await self._rules.refuse(db, staged, columns, keys or (), brought)
        if keys is None:
            await checks.insert(db, staged, columns)
            return Landed(inserted=rows - len(refused), rejects=refused)
        merged = await merges.merge(
            db,
            staged,
            self.claim.job_id,
            columns,
            keys,
            brought or [column.name for column in columns],
            self._options.meeting,
            MOST_REPEATS,
        )
        notes = [Note(r.row, NoteCode.DUPLICATE_IN_FILE, None, r.other_row, r.keys) for r in merged.repeats]
        notes += [Note(c.row, NoteCode.CONFLICT, c.other_job, c.other_row, c.keys) for c in merged.conflicts]
        await landings.add_notes(db, self.claim, notes, merged.repeated + len(merged.conflicts))
        done = landed(merged, brought)
        if self._options.columns or self._options.drop or self._options.others == "drop":
            # The dataset's columns are not the file's, so their values are not its fields.
            done = replace(done, rejects=[replace(reject, cells=None) for reject in done.rejects])
        return replace(done, rejects=[*refused, *done.rejects])

    def _own_keys(self, keys: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if self._options.mode == "replace" and self._options.keys:
            return tuple(self._options.keys)
        return keys

    async def _shape_dataset(self, db: Connection, dataset: Dataset, columns: tuple[Column, ...]) -> None:
        if dataset.columns is None:
            await datasets.create_table(db, dataset, columns, self.claim.job_id)
        elif dataset.columns != columns:
            raise Transient("busy", "Another job gave this dataset its columns first.", retry_after_s=0.1)
        keys = self._options.keys
        if keys and dataset.keys is None:
            await tables.add_key(db, dataset.table_name, keys)
            await datasets.give_keys(db, dataset.id, keys)
        elif keys and set(keys) != set(dataset.keys or ()):
            raise other_keys(dataset.keys or (), keys)

    async def _make_own_table(self, db: Connection, dataset: Dataset, columns: tuple[Column, ...]) -> None:
        if await landings.kept_table(db, self.claim.job_id, "loading"):
            return
        keys = self._own_keys(dataset.keys)
        await tables.create(db, self.table, dataset.account_id, columns)
        if keys:
            await tables.add_key(db, self.table, keys)
        loading = KeptTable(self.table, dataset.id, columns, keys)
        await landings.keep_table(db, dataset.account_id, self.claim.job_id, loading, "loading")


def options_of(processor: Processor, claim: Claim) -> RowOptions:
    """How the job's rows are to meet those there; a processor without these options appends."""
    if not issubclass(processor.options, RowOptions):
        return RowOptions()
    return processor.options.model_validate(claim.options)


async def begin(database: Database, claim: Claim, options: RowOptions) -> Landing:
    """Let the job write into its dataset. Raises Occupied, InputError, LeaseLost."""
    assert claim.dataset_id is not None
    async with database.transaction() as db:
        dataset = await datasets.lock_to_begin(db, claim.dataset_id)
        stand = await landings.stand(db, claim)
        if not stand.is_writing:
            await _await_turn(db, claim, options)
        replaces = options.mode == "replace"
        table = table_name(dataset.name, claim.job_id) if replaces else dataset.table_name
        if claim.cursor is not None and await _starts_over(db, claim, stand, table):
            await take_back(db, claim)
            claim = claim._replace(cursor=None, read=0)
        elif claim.cursor is not None and stand.landed_in not in (None, table):
            raise InputError(
                "dataset_replaced",
                "Another job has replaced this dataset since this one stopped.",
                suggestion="Retry it with from=start, or import the file anew.",
            )
        await landings.begin(db, claim, dataset.id, table)
    return Landing(claim._replace(table_name=dataset.table_name, columns=dataset.columns), options, table, dataset.keys)


async def join(database: Database, claim: Claim, options: RowOptions) -> Landing:
    """Write along with the worker that runs the job and has begun; for rows that are added, and no others."""
    assert claim.dataset_id is not None
    async with database.transaction() as db:
        table, keys = await datasets.landing_place(db, claim.dataset_id)
    return Landing(claim, options, table, keys)


async def finish(db: Connection, claim: Claim) -> None:
    """In the transaction that completes the job: from its commit on, readers see what a replace has loaded."""
    loaded = await landings.kept_table(db, claim.job_id, "loading")
    if loaded is None:
        return
    dataset = await datasets.lock(db, loaded.dataset_id)
    await landings.let_go(db, loaded.name)
    if dataset.columns is not None:
        former = KeptTable(dataset.table_name, dataset.id, dataset.columns, dataset.keys)
        await landings.keep_table(db, claim.account_id, claim.job_id, former, "former")
    await datasets.show_table(db, dataset.id, loaded.name, loaded.columns, loaded.keys)


async def take_back(db: Connection, claim: Claim) -> None:
    """Rows, rejects, notes and counts of the job, as if it had never run. Raises LeaseLost, InputError."""
    if claim.dataset_id is not None:
        await datasets.lock(db, claim.dataset_id)  # before the job, as everybody does
    stand = await landings.stand(db, claim)
    if claim.corrects_id is not None:
        await _refuse_again(db, claim, claim.corrects_id, stand)
    await claims.reset(db, claim)
    loading = await landings.kept_table(db, claim.job_id, "loading", "dropped")
    if loading is not None:
        await landings.drop_kept(db, loading.name)
    elif (table := stand.landed_in or claim.table_name) and await tables.exists(db, table):
        if stand.undo_expired_at is not None:
            raise InputError(
                "undo_expired",
                "The rows that this job has changed can no longer be brought back.",
                suggestion="Import the file anew instead.",
            )
        await undos.take_back(db, table, claim.job_id)
    await attachments.forget_job(db, claim.job_id)
    await landings.forget(db, claim.job_id)


async def _refuse_again(db: Connection, claim: Claim, first_id: UUID, stand: Stand) -> None:
    """The rows that a correction brought into another job's are rejects of that one once more."""
    counts = await rejects.brought_in(db, claim.job_id)
    for row in await rejects.reopen(db, claim.job_id):
        if stand.landed_in is not None:
            await undos.rows(db, stand.landed_in, first_id, row - 1, row)
    await rejects.move_counts(db, first_id, counts, sign=-1)


def patience_s(claim: Claim) -> float:
    """How long to wait for another job before looking again: longer each time, for it may be paused."""
    return min(MOST_PATIENCE_S, claim.epoch / 2)


async def _await_turn(db: Connection, claim: Claim, options: RowOptions) -> None:
    assert claim.dataset_id is not None
    for job_id, replaces in await landings.writers(db, claim.dataset_id, claim.job_id):
        if replaces or options.mode == "replace":
            raise Occupied(
                "dataset_busy",
                f"Job {job_id} is {'replacing' if replaces else 'writing into'} this dataset; this one waits.",
                suggestion=f"Wait, or cancel job {job_id}.",
                retry_after_s=patience_s(claim),
            )


async def _starts_over(db: Connection, claim: Claim, stand: Stand, table: str) -> bool:
    """Whether what earlier attempts stored is gone: taken back by an undo, if only in part, or dropped with a table."""
    if stand.undone_by is not None:
        return True
    return stand.landed_in == table != claim.table_name and not await landings.kept_table(db, claim.job_id, "loading")


def landed(merged: Merged, brought: Sequence[str] | None) -> Landed:
    """What became of rows that were matched by key."""
    rejects = [_reject(refused, brought) for refused in merged.refused]
    return Landed(merged.inserted, merged.updated, merged.skipped, rejects)


def _reject(refused: Refused, brought: Sequence[str] | None) -> Reject:
    values = json.loads(refused.values, parse_float=str, parse_int=str)
    names = brought or [name for name in values if name not in ("_row", "_job")]
    cells = tuple(cell_of(values[name]) for name in names)
    message, suggestion = REFUSALS[refused.why]
    raw = json.dumps(dict(zip(names, cells, strict=True)), ensure_ascii=False)[:RAW_LIMIT]
    return Reject(refused.row, 0, None, refused.why, message, suggestion, raw, cells=cells)
