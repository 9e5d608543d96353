"""Starts a job over with wider types, where a column's cells showed that those found out of a sample were too narrow.

Only where the dataset has its columns from this very job and nobody else has rows in it: it gets another table, and
what was read is forgotten, in one transaction. The job goes back to the queue; whoever runs it next finds the types out
again, but for those that widened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.domain.chunk import TooNarrow, Widening
from service.domain.dataset import columns_to_json, table_name
from service.domain.ids import new_id
from service.store import claims, datasets, landings, widenings
from service.store.claims import Claim
from service.store.database import Database
from service.store.landings import KeptTable
from workers import landing

MISFITS = (
    *("not_an_integer", "not_a_number", "not_a_boolean", "not_a_date", "not_a_timestamp", "not_a_uuid"),
    *("not_text", "not_json", "too_many_decimals"),
)
"""Codes of cells that are of another type; out_of_range may also be a limit of the caller's, and is not counted."""


async def permission(database: Database, claim: Claim) -> Mapping[str, Any] | None:
    """What a child is told of types that may widen, None where they stay: see `Widens`."""
    async with database.connection() as db:
        stand = await widenings.standing(db, claim.job_id)
        if not stand.may_widen:
            return None
        misfits = await widenings.misfits(db, claim.job_id, MISFITS) if claim.cursor else {}
    types, steps = dict[str, Any](), dict[str, int]()
    for entry in stand.widened:
        types[entry["column"]] = entry["to"]
        steps[entry["column"]] = steps.get(entry["column"], 0) + entry["steps"]
    return {"types": list(types.values()), "steps": steps, "misfits": misfits}


async def start_over(database: Database, claim: Claim, found: TooNarrow) -> None:
    """Forget what the job has stored and remember the wider types. Raises LeaseLost.

    Nothing happens where others have begun to use the dataset meanwhile: then its types stay.
    """
    assert claim.dataset_id is not None
    async with database.transaction() as db:
        dataset = await datasets.lock(db, claim.dataset_id)
        stand = await landings.stand(db, claim)
        if not (await widenings.standing(db, claim.job_id)).may_widen:
            return
        await widenings.widen(db, claim, [_entry(w) for w in found.widenings], _message(found.widenings))
        if dataset.columns is None or stand.landed_in not in (None, dataset.table_name):
            await landing.take_back(db, claim)  # a replace, whose rows are in a table of its own
            return
        # The table is dropped later: somebody may be reading it.
        table = KeptTable(dataset.table_name, dataset.id, dataset.columns, dataset.keys)
        await landings.keep_table(db, claim.account_id, None, table, "dropped")
        await widenings.unshape(db, dataset.id, table_name(dataset.name, new_id()))
        await claims.reset(db, claim)
        await landings.forget(db, claim.job_id)


def _entry(widening: Widening) -> widenings.Entry:
    (old,), (new,) = columns_to_json([widening.old]), columns_to_json([widening.new])
    text = widening.text.replace("\0", "\N{SYMBOL FOR NULL}")
    return {
        "column": widening.new.name,
        "from": old,
        "to": new,
        "row": widening.row,
        "text": text,
        "steps": widening.steps,
    }


def _message(found: tuple[Widening, ...]) -> str:
    told = [f"{w.new.name} from {_written(w.old)} to {_written(w.new)} (row {w.row:,})" for w in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Started over with wider types: {', '.join(told)}{more}."


def _written(column: Any) -> str:
    return f"{column.type}({column.scale})" if column.scale is not None else str(column.type)
