"""Dependencies: which jobs wait for which. The database counts them down as jobs end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.domain.errors import NotFound
from service.domain.job import State
from service.store.database import Connection
from service.store.queries import load

_SQL = load("dependency")

Edge = tuple[UUID, UUID]
"""A job, and one that it needs."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A job that another one is about to wait for."""

    id: UUID
    state: State
    is_live: bool


async def need(db: Connection, ids: Sequence[UUID]) -> list[Needed]:
    """Hold jobs as they are until the transaction ends, and let their end be told to others. Raises NotFound."""
    rows = await db.fetch(_SQL["need"], ids)
    found = {row["id"]: Needed(row["id"], State(row["state"]), row["is_live"]) for row in rows}
    if missing := [job_id for job_id in ids if job_id not in found]:
        raise NotFound("job", missing[0])
    return [found[job_id] for job_id in ids]


async def add(db: Connection, account_id: UUID, edges: Sequence[Edge]) -> None:
    """Write who waits for whom; the number is in each job's `waits_for`."""
    await db.execute(_SQL["add"], [edge[0] for edge in edges], [edge[1] for edge in edges], account_id)


async def of_flow(db: Connection, flow_id: UUID) -> list[tuple[str, str]]:
    """The edges of a flow: a step's key, and the key of one that it needs."""
    return [(row["step"], row["needs"]) for row in await db.fetch(_SQL["of_flow"], flow_id)]
