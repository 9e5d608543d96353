"""Events of a job, by their gap-free number. They are written by the statements that change the job."""

from __future__ import annotations

from uuid import UUID

from service.domain.event import Event, EventType
from service.store.database import Connection
from service.store.queries import load

_SQL = load("event")


async def after(db: Connection, job_id: UUID, seq: int, *, limit: int) -> list[Event]:
    """The events that follow number `seq`, in order."""
    rows = await db.fetch(_SQL["after"], job_id, seq, limit)
    return [Event(row["seq"], EventType(row["type"]), row["at"], row["data"]) for row in rows]
