"""Flows and their events. The database moves them with their steps; the steps are `jobs.of_flow`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.errors import NotFound
from service.domain.event import Event, EventType, Position
from service.domain.flow import Flow, FlowState, Step
from service.store import dependencies, jobs
from service.store.database import Connection
from service.store.queries import load

_SQL = load("flow")


async def add(db: Connection, flow_id: UUID, account_id: UUID, name: str, metadata: Mapping[str, Any]) -> None:
    """Write a flow, ahead of its steps."""
    await db.execute(_SQL["add"], flow_id, account_id, name, metadata)


async def get(db: Connection, flow_id: UUID) -> Flow:
    """One flow. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], flow_id)
    if row is None:
        raise NotFound("flow", flow_id)
    return _flow(row)


async def page(db: Connection, *, before: UUID | None, state: FlowState | None, limit: int) -> list[Flow]:
    """Newest first, from the one before `before`."""
    return [_flow(row) for row in await db.fetch(_SQL["list"], before, state, limit)]


async def steps(db: Connection, flow_id: UUID) -> list[Step]:
    """The steps of a flow, each behind those that it needs."""
    after: dict[str, list[str]] = {}
    for step, needs in await dependencies.of_flow(db, flow_id):
        after.setdefault(step, []).append(needs)
    return [Step(job, after.get(job.step or "", [])) for job in await jobs.of_flow(db, flow_id)]


async def events_after(db: Connection, account_id: UUID, flow_id: UUID, seq: int, *, limit: int) -> Sequence[Event]:
    """The events of an account's flow that follow number `seq`, in order. Needs no transaction."""
    rows = await db.fetch(_SQL["events_after"], account_id, flow_id, seq, limit)
    return [
        Event(None, row["seq"], EventType(row["type"]), row["at"], row["data"], Position(row["tx"], row["no"]))
        for row in rows
    ]


def _flow(row: Record) -> Flow:
    return Flow(**{**row, "state": FlowState(row["state"])})
