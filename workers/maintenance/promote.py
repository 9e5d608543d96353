"""Queues jobs whose time has come: submitted for later, backing off, or all that they waited for has ended."""

from __future__ import annotations

from service.bus import Bus
from service.store import claims
from service.store.database import Database
from workers.outcome import problem

UNFULFILLED = problem(
    "dependency_failed",
    "A job that this one needs did not complete.",
    "Look at the jobs in `after`: retry what failed there, then retry this one.",
)


async def run_once(database: Database, bus: Bus) -> int:
    """Queue what is due now; returns the number of jobs moved."""
    moved = 0
    others_wait = True
    while others_wait:  # a job that cannot run any more ends, and the next may have waited for that
        async with database.transaction() as db:
            promoted, others_wait = await claims.promote(db, UNFULFILLED)
        bus.notify(*promoted)
        moved += len(promoted)
    return moved
