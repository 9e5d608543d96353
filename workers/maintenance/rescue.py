"""Takes jobs from workers whose lease ran out: back to the queue, or to quarantine after too many deaths in a row.

What such a worker has begun in the database and not ended is ended for it.
"""

from __future__ import annotations

import structlog

from service.bus import Bus
from service.domain.job import MAX_DEATHS
from service.store import claims
from service.store.database import Database
from workers.outcome import problem

log = structlog.get_logger()

POISON = problem(
    "poison",
    f"{MAX_DEATHS} workers in a row ended while they ran this job, and none of them committed a chunk.",
    "Look into the workers' logs for what ended them; retry the job once it is mended.",
)


async def run_once(database: Database, bus: Bus) -> int:
    """Rescue what is lost now; returns the number of jobs."""
    async with database.transaction() as db:
        rescued, lost = await claims.rescue(db, MAX_DEATHS, POISON)
    for job_id, _ in rescued:
        log.warning("job.rescued", job_id=str(job_id))
    bus.notify(*rescued)
    if lost:
        async with database.transaction() as db:
            ended = await claims.end_transactions(db, lost)
        log.info("worker.disconnected", workers=sorted({worker for worker, _ in lost}), connections=ended)
    return len(rescued)
