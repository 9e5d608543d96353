"""What a user can do to a dataset as a whole: let two of them change places, delete one."""

from __future__ import annotations

from service.deps import Deps
from service.domain.dataset import Dataset
from service.domain.errors import InputError, StateError
from service.store import datasets, landings
from service.store.accounts import Caller
from service.store.database import Connection


async def swap(deps: Deps, caller: Caller, name: str, other: str) -> tuple[Dataset, Dataset]:
    """Exchange the names of two datasets at once; as they are then, `name` first. Raises NotFound, StateError.

    Each keeps its rows, its history and what can be undone.
    """
    if name == other:
        raise InputError("invalid_choice", "A dataset cannot be exchanged with itself.", suggestion="Name another one.")
    async with deps.database.transaction(caller.account_id) as db:
        pair = [await datasets.get(db, name), await datasets.get(db, other)]
        for dataset in sorted(pair, key=lambda one: one.id):  # in one order, whoever asks
            await datasets.lock(db, dataset.id)
        await _check_quiet(db, *pair)
        await datasets.exchange_names(db, *pair)
        return await datasets.get(db, name), await datasets.get(db, other)


async def delete(deps: Deps, caller: Caller, name: str) -> None:
    """Take a dataset away, with its rows; the jobs that filled it stay. Raises NotFound, StateError."""
    async with deps.database.transaction(caller.account_id) as db:
        dataset = await datasets.lock(db, (await datasets.get(db, name)).id)
        await _check_quiet(db, dataset)
        await datasets.remove(db, dataset.id)
        if dataset.columns is not None:
            shown = landings.KeptTable(dataset.table_name, dataset.id, dataset.columns, dataset.keys)
            await landings.keep_table(db, caller.account_id, None, shown, "dropped")


async def _check_quiet(db: Connection, *found: Dataset) -> None:
    if live := await datasets.live_jobs(db, *(dataset.id for dataset in found)):
        raise StateError(
            "conflict",
            f"Jobs that have not ended write into this dataset: {', '.join(map(str, live))}.",
            suggestion="Wait for their end, or cancel them.",
        )
