"""Undo a job, exchange two datasets, delete one."""

from __future__ import annotations

from uuid import UUID

from service.actions.jobs import announce
from service.deps import Deps
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.undo import refusal
from service.store import jobs, undos
from service.store.accounts import Caller
from service.store.jobs import NewJob


async def undo(deps: Deps, caller: Caller, job_id: UUID) -> Job:
    """Queue the job that takes back what this one has stored. Raises NotFound, StateError."""
    processor, undo_id = deps.catalog["undo"], new_id()
    async with deps.database.transaction(caller.account_id) as db:
        target = await undos.look(db, caller.account_id, job_id)
        if (refused := refusal(target)) is not None:
            raise refused
        await jobs.submit(
            db,
            NewJob(
                id=undo_id,
                account_id=caller.account_id,
                processor=processor.name,
                queue=processor.queue,
                priority=5,
                upload_id=None,
                dataset_id=target.dataset_id,
                options={},
                metadata={},
                unit=processor.unit,
                total=target.read,
                input={"job_id": str(job_id)},
                retry=processor.retry,
            ),
        )
        await undos.begin(db, job_id, undo_id)
        job = await jobs.get(db, undo_id)
    announce(deps, [job])
    return job
