"""Lands the rows of a preview where a dataset has a key, or gets one: in a transaction that is rolled back.

Only so are the counts of an upsert those of the import: what a row meets may be a row of its own file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from service.domain.chunk import Column
from service.domain.dataset import Dataset
from service.domain.row_options import RowOptions
from service.store import rehearsals
from service.store.claims import Claim
from service.store.database import Connection
from workers import landing
from workers.keys import check_keys, other_keys
from workers.landing import Landed
from workers.pieces import Payload
from workers.tools import Tools


class Rehearsal:
    """One pass over a file. Without keys nothing has to be tried out: every accepted row would be inserted."""

    def __init__(self, claim: Claim, options: RowOptions, dataset: Dataset | None, db: Connection | None) -> None:
        self._claim = claim
        self._options = options
        self._db = db
        self._keys = keys_of(options, dataset)
        self._table = f"preview_{claim.job_id.hex}"
        has_rows = dataset is not None and dataset.columns is not None and options.mode != "replace"
        self._target = dataset.table_name if dataset is not None and has_rows else None
        self._has_begun = False

    async def land(
        self, columns: Sequence[Column], brought: Sequence[str] | None, payload: Payload, rows: int
    ) -> Landed:
        """What would become of a chunk's accepted rows. Raises InputError: the keys do not fit the file."""
        if self._db is None:
            return Landed(inserted=rows)
        if not self._has_begun:
            check_keys(self._options, columns, brought)
            await rehearsals.begin(self._db, self._table, self._claim.account_id, columns, self._keys)
            self._has_begun = True
        if not rows:
            return Landed()
        names = brought or [column.name for column in columns]
        merged = await rehearsals.land(
            self._db,
            self._table,
            self._target,
            self._claim.job_id,
            columns,
            self._keys,
            names,
            self._options.meeting,
            payload.over(self._db),
        )
        payload.free()
        return landing.landed(merged, brought)


def keys_of(options: RowOptions, dataset: Dataset | None) -> tuple[str, ...]:
    """By which columns rows would be matched. Raises InputError: the dataset has other ones."""
    own = () if dataset is None or dataset.keys is None else dataset.keys
    if own and options.mode == "upsert" and set(options.keys) != set(own):
        raise other_keys(own, options.keys)
    return tuple(options.keys) or tuple(own)


@asynccontextmanager
async def rehearsal(
    tools: Tools, claim: Claim, options: RowOptions, dataset: Dataset | None
) -> AsyncIterator[Rehearsal]:
    """Somewhere to land; whatever it takes is rolled back. Raises InputError: the dataset has other keys."""
    if not keys_of(options, dataset):
        yield Rehearsal(claim, options, dataset, None)
        return
    with suppress(_Over):
        async with tools.database.transaction() as db:
            yield Rehearsal(claim, options, dataset, db)
            raise _Over


class _Over(Exception):
    """Rolls back."""
