"""Queues with jobs that wait for a worker."""

from __future__ import annotations

from uuid import UUID

from service.store.database import Connection
from service.store.queries import load

_SQL = load("queue")


async def waiting(db: Connection) -> dict[str, UUID]:
    """Each queue in which a job waits, with one such job."""
    return {row["queue"]: row["job_id"] for row in await db.fetch(_SQL["waiting"])}
