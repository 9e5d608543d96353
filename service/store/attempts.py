"""Attempts: who ran a job, from when to when, and how that ended. They are written by the statements of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.store.database import Connection
from service.store.queries import load

_SQL = load("attempt")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claim of a job. `number` counts the tries that cost one; `epoch` counts every claim."""

    epoch: int
    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    result: str | None

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


async def page(db: Connection, job_id: UUID, *, after_epoch: int, limit: int) -> list[Attempt]:
    """The attempts of a job, oldest first, from the one after `after_epoch`."""
    return [_attempt(row) for row in await db.fetch(_SQL["list"], job_id, after_epoch, limit)]


def _attempt(row: Record) -> Attempt:
    result = row["result"] and row["result"].removeprefix("job.")
    return Attempt(**{**row, "result": result})
