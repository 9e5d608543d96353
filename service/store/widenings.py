"""Which columns of a job's dataset have widened, and whether they may go on doing so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.store.claims import Claim, LeaseLost
from service.store.database import Connection
from service.store.queries import load

_SQL = load("widening")

MOST = 20
"""Times that the columns of one job widen, all together."""

Entry = Mapping[str, Any]
"""One column at one time: `column`, `from` and `to` as a dataset's columns are written, `row`, `text`, `steps`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What has widened so far, and whether more may."""

    widened: Sequence[Entry]
    may_widen: bool


async def standing(db: Connection, job_id: UUID) -> Standing:
    """How it stands with the types of a job's dataset. Lock the dataset first where that is to stay so."""
    row = await db.fetchrow(_SQL["standing"], job_id, MOST)
    return Standing((), False) if row is None else Standing(**row)


async def misfits(db: Connection, job_id: UUID, codes: Sequence[str]) -> dict[str, int]:
    """How many rows of the job were refused for a cell of each column, with one of these codes as their first fault."""
    rows = await db.fetch(_SQL["misfits"], job_id, list(codes))
    return {row["name"]: row["number"] for row in rows if row["name"] is not None}


async def widen(db: Connection, claim: Claim, entries: Sequence[Entry], message: str) -> None:
    """Remember what widened. Raises LeaseLost."""
    if await db.fetchval(_SQL["widen"], claim.job_id, claim.epoch, list(entries), message) is None:
        raise LeaseLost


async def unshape(db: Connection, dataset_id: UUID, table: str) -> None:
    """The dataset has no columns any more, and its table is to have another name."""
    await db.execute(_SQL["unshape"], dataset_id, table)
