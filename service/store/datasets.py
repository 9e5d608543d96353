"""Datasets: the catalogue of them. The typed tables that hold their rows are made in `tables`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.domain.chunk import Column
from service.domain.dataset import Dataset, RowCount, columns_from_json, columns_to_json, table_name
from service.domain.errors import NotFound
from service.domain.ids import new_id
from service.store import attachments, tables
from service.store.database import Connection
from service.store.queries import load

_SQL = load("dataset")
MOST_COUNTED = 1_000
"""Rows of a dataset that are counted one by one where many datasets are listed."""


async def ensure(db: Connection, account_id: UUID, name: str) -> UUID:
    """The dataset of that name, made if there is none. It has no table until a first chunk gives it columns."""
    dataset_id = new_id()
    found: UUID | None = None
    while found is None:  # once more if another transaction made it meanwhile, unseen by our first look
        found = await db.fetchval(_SQL["ensure"], dataset_id, account_id, name, table_name(name, dataset_id))
    return found


async def get(db: Connection, name: str) -> Dataset:
    """One dataset. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], name)
    if row is None:
        raise NotFound("dataset", name)
    return _dataset(row)


async def of_account(db: Connection, account_id: UUID, name: str) -> Dataset:
    """One dataset of an account, for workers, who see all of them. Raises NotFound."""
    row = await db.fetchrow(_SQL["of_account"], account_id, name)
    if row is None:
        raise NotFound("dataset", name)
    return _dataset(row)


async def page(db: Connection, *, after: str | None, limit: int) -> list[Dataset]:
    """By name, from the one after `after`."""
    return [_dataset(row) for row in await db.fetch(_SQL["list"], after, limit)]


async def row_counts(db: Connection, found: Sequence[Dataset]) -> dict[UUID, RowCount]:
    """How many rows they have: counted up to MOST_COUNTED, beyond that as many as their jobs say they have inserted."""
    filled = [dataset for dataset in found if dataset.columns is not None]
    counts = {dataset.id: RowCount(0, is_counted=True) for dataset in found}
    if filled:
        looks = (
            f"select {place} as place, count(*) as rows"  # noqa: S608 - a table of ours
            f" from (select from {tables.qualified(dataset.table_name)} limit {MOST_COUNTED + 1}) few"
            for place, dataset in enumerate(filled)
        )
        for row in await db.fetch(" union all ".join(looks)):
            counts[filled[row["place"]].id] = RowCount(row["rows"], is_counted=True)
    if many := [id for id, count in counts.items() if count.rows > MOST_COUNTED]:
        for row in await db.fetch(_SQL["inserted"], many):
            counts[row["id"]] = RowCount(max(row["rows"], MOST_COUNTED), is_counted=False)
    return counts


async def lock(db: Connection, dataset_id: UUID) -> Dataset:
    """The dataset, held until the transaction ends; no chunk is on its way into it."""
    return _found(await db.fetchrow(_SQL["lock"], dataset_id), dataset_id)


async def lock_to_begin(db: Connection, dataset_id: UUID) -> Dataset:
    """The same for a job that begins or goes on with it, while chunks go on landing."""
    return _found(await db.fetchrow(_SQL["lock_to_begin"], dataset_id), dataset_id)


async def hold(db: Connection, dataset_id: UUID) -> None:
    """Let nobody lock the dataset until the transaction ends: ahead of the lock of a job, which workers take second."""
    await db.execute(_SQL["hold"], dataset_id)


async def create_table(db: Connection, dataset: Dataset, columns: Sequence[Column], job_id: UUID | None = None) -> None:
    """Give a dataset its columns, found by that job, and its table."""
    await tables.create(db, dataset.table_name, dataset.account_id, columns)
    await db.execute(_SQL["shape"], dataset.id, columns_to_json(columns), job_id)


async def give_keys(db: Connection, dataset_id: UUID, keys: Sequence[str]) -> None:
    """From now on these columns name a row."""
    await db.execute(_SQL["give_keys"], dataset_id, list(keys))


async def show_table(
    db: Connection, dataset_id: UUID, table: str, columns: Sequence[Column], keys: Sequence[str] | None
) -> None:
    """Let a dataset show another table from the next look on."""
    await db.execute(
        _SQL["show_table"], dataset_id, table, columns_to_json(columns), None if keys is None else list(keys)
    )


async def exchange_names(db: Connection, one: Dataset, other: Dataset) -> None:
    """Let two datasets, which are locked, change places."""
    for dataset, name in ((one, f"~{other.name}"), (other, one.name), (one, other.name)):  # no two of a name at a time
        await db.execute(_SQL["rename"], dataset.id, name)


async def remove(db: Connection, dataset_id: UUID) -> None:
    """Take a dataset out of sight; its name is free, and the tables kept for it go soon."""
    await db.execute(_SQL["remove"], dataset_id)
    await db.execute(_SQL["drop_all_later"], dataset_id)
    await attachments.forget_dataset(db, dataset_id)


async def live_jobs(db: Connection, *dataset_ids: UUID) -> list[UUID]:
    """Some jobs on these datasets that have not ended."""
    return [row["id"] for row in await db.fetch(_SQL["live_jobs"], dataset_ids)]


async def unindexed(db: Connection, *, large_bytes: int) -> list[str]:
    """Tables of datasets without a row index: nobody writes into them, or they have grown large."""
    return [row["table_name"] for row in await db.fetch(_SQL["unindexed"], large_bytes)]


async def table_of(db: Connection, dataset_id: UUID) -> str | None:
    """The name of the table that a dataset shows at this moment."""
    name: str | None = await db.fetchval(_SQL["table_of"], dataset_id)
    return name


async def landing_place(db: Connection, dataset_id: UUID) -> tuple[str, tuple[str, ...] | None]:
    """The dataset's table and key, which stay so until the transaction ends."""
    return _place(await db.fetchrow(_SQL["landing_place"], dataset_id))


async def merging_place(db: Connection, dataset_id: UUID) -> tuple[str, tuple[str, ...] | None]:
    """The same, for one transaction at a time."""
    return _place(await db.fetchrow(_SQL["merging_place"], dataset_id))


def _found(row: Record | None, dataset_id: UUID) -> Dataset:
    if row is None:
        raise NotFound("dataset", dataset_id)
    return _dataset(row)


def _place(row: Record | None) -> tuple[str, tuple[str, ...] | None]:
    assert row is not None
    return row["table_name"], None if row["keys"] is None else tuple(row["keys"])


def _dataset(row: Record) -> Dataset:
    return Dataset(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        table_name=row["table_name"],
        columns=None if row["columns"] is None else columns_from_json(row["columns"]),
        created_at=row["created_at"],
        keys=None if row["keys"] is None else tuple(row["keys"]),
    )
