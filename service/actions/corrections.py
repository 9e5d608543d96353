"""Send the rejects of a job back, corrected: a job of its own, under the options of the first one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.actions.arrivals import Arrival
from service.actions.jobs import written
from service.actions.uploads import Incoming, upload
from service.deps import Deps
from service.domain import correction
from service.domain.csv_text import record
from service.domain.errors import InputError, StateError
from service.domain.ids import new_id
from service.domain.job import FINAL, Job
from service.store import datasets, jobs, rejects, uploads
from service.store.accounts import Caller
from service.store.database import Connection

AT_ONCE = 100
"""Rejects that are in memory at one time."""

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Mended:
    """A reject by its row, and its cells that are to be different, by the names the file gives its columns."""

    row: int
    values: Mapping[str, Value]


async def correct(deps: Deps, caller: Caller, job_id: UUID, sent: Incoming | Sequence[Mended]) -> Job:
    """Queue the correction of a job's rejects. Raises NotFound, StateError, InputError, TooLarge, Transient."""
    async with deps.database.transaction(caller.account_id) as db:
        _correctable(await jobs.get(db, job_id))
    table = sent if isinstance(sent, Incoming) else await _table(deps, caller, job_id, sent)
    stored = (await upload(deps, caller, table.arrival, table.content)).upload
    correction_id = new_id()

    async def write_job(db: Connection) -> UUID:
        first = _correctable(await jobs.get(db, job_id))
        processor = deps.catalog[first.processor]
        job = jobs.NewJob(
            id=correction_id,
            account_id=caller.account_id,
            processor=processor.name,
            queue=processor.queue,
            priority=first.priority,
            upload_id=(await uploads.get(db, stored.id)).id,
            dataset_id=(await datasets.get(db, first.dataset or "")).id,
            options=_options(first.options),
            metadata={},
            unit=processor.unit,
            total=stored.size_bytes,
            retry=first.retry,
            corrects_id=first.id,
        )
        return await jobs.submit(db, job)

    job, _ = await written(deps, caller, correction_id, write_job)
    return job


def _options(first: Mapping[str, Any]) -> dict[str, Any]:
    """How the rows are read, as the first job's. What it replaced is replaced; these rows come to the others."""
    left_out = {"max_rejects"} | ({"mode", "keys", "on_conflict"} if first.get("mode") == "replace" else set())
    return {name: value for name, value in first.items() if name not in left_out}


def _correctable(first: Job) -> Job:
    if first.corrects_id is not None:
        raise StateError(
            "conflict",
            f"Job {first.id} is itself a correction.",
            suggestion=f"Send the rows to POST /v1/jobs/{first.corrects_id}/rejects.",
        )
    if first.upload_id is None or first.dataset is None:
        raise StateError("conflict", f"Job {first.id} reads no file, so it has no rejects.", suggestion="Check the id.")
    if first.state not in FINAL:
        raise StateError("conflict", f"Job {first.id} has not ended.", suggestion="Send the rows once it has.")
    return first


async def _table(deps: Deps, caller: Caller, job_id: UUID, mended: Sequence[Mended]) -> Incoming:
    """The rows as the table of rejects would have them; cells that are not given stay as they were."""
    async with deps.database.transaction(caller.account_id) as db:
        names = await rejects.header(db, job_id)
    for name in {name for row in mended for name in row.values}:
        if name not in names:
            raise InputError(
                "schema_mismatch",
                f"The file of the job has no column {name!r}; it has {', '.join(names)[:500]}.",
                suggestion="Use the names of the file's header.",
            )

    async def lines() -> AsyncIterator[bytes]:
        yield record((*names, correction.ROW)).encode()
        for start in range(0, len(mended), AT_ONCE):
            some = mended[start : start + AT_ONCE]
            async with deps.database.transaction(caller.account_id) as db:
                was = await rejects.cells_of(db, job_id, [row.row for row in some])
            yield "".join(record((*_cells(row, names, was.get(row.row)), str(row.row))) for row in some).encode()

    return Incoming(Arrival("raw", f"corrections of {job_id}.csv", "text/csv", heeds_rules=False), lines())


def _cells(mended: Mended, names: Sequence[str], was: Sequence[str | None] | None) -> list[str | None]:
    cells: list[str | None] = [None] * len(names)
    if was is not None and len(was) == len(names):
        cells = list(was)
    for name, value in mended.values.items():
        cells[names.index(name)] = _text(value)
    return cells


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
