"""Queues jobs whose time has come: submitted for later, or backing off."""

from __future__ import annotations

from service.bus import Bus
from service.store import jobs
from service.store.database import Database


async def run_once(database: Database, bus: Bus) -> int:
    """Queue what is due now; returns the number of jobs."""
    async with database.transaction() as db:
        promoted = await jobs.promote(db)
    for job_id in promoted:
        await bus.notify(job_id)
    return len(promoted)
