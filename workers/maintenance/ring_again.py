"""Puts a ticket back where Redis lost them all, such as after a FLUSHALL or a crash without persistence.

Every worker's own sweep finds such jobs too. A ticket is what reaches the worker with a free slot at once where sweeps
are far apart, as with many workers and a long MILLRACE_SWEEP_S.
"""

from __future__ import annotations

import structlog

from service.bus import AWAY
from service.dispatch import Dispatch
from service.store import queues
from service.store.database import Database
from service.store.locks import duty_lock

log = structlog.get_logger()


async def run_once(database: Database, dispatch: Dispatch) -> int:
    """Ring once for each queue in which jobs wait and no ticket does; returns the number of queues."""
    rung = 0
    async with duty_lock(database, "ring_again") as db:
        if db is None:
            return 0
        for queue, job_id in (await queues.waiting(db)).items():
            if not await _is_told(dispatch, queue):
                dispatch.ring(queue, job_id)
                await dispatch.close()
                log.info("queue.rung_again", queue=queue)
                rung += 1
    return rung


async def _is_told(dispatch: Dispatch, queue: str) -> bool:
    try:
        return await dispatch.has_ticket(queue)
    except AWAY:
        return True  # nobody could be rung now; the sweeps work on
