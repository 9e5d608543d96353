"""A worker with nothing to do helps another one with a large file: it reads ranges of the job, and settles nothing."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from service.store import ranges
from service.store.claims import Claim, Held, LeaseLost
from service.store.database import UNREACHABLE
from workers import inputs, sharing
from workers.committer import Interrupted
from workers.tools import Tools, worker_name

log = structlog.get_logger()


async def find(tools: Tools, queue: str, avoided: Iterable[Held]) -> Claim | None:
    """A job to help with. If there is none, ask another worker to share one, which then is there the next time."""
    processors = [p.name for p in tools.processors.values() if p.queue == queue and p.cuts is not None]
    if not processors:
        return None
    async with tools.database.transaction() as db:
        found = await ranges.find(db, queue, processors, worker_name(), avoided)
        if found is None:
            await ranges.ask(db, queue, processors, worker_name(), 2 * tools.settings.range_bytes)
    return found


async def run(tools: Tools, claim: Claim, queue: str) -> bool:
    """Help until there is nothing to help with; whether we are fit for this job."""
    try:
        async with inputs.source_of(tools, claim) as file:  # it may be that the files of that worker are not ours
            await sharing.help_with(tools, claim, file, queue)
    except (Interrupted, LeaseLost):
        pass
    except UNREACHABLE as error:
        log.warning("job.not_helped", job_id=str(claim.job_id), error=repr(error))
    except Exception as error:  # whoever runs the job comes upon it too, and settles what follows
        log.warning("job.not_helped", job_id=str(claim.job_id), error=repr(error))
        return False
    return True
