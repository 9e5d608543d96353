"""What comes after a file was read: the job that its processor names, which waits for the end of that of the file."""

from __future__ import annotations

from uuid import UUID

from service.domain.ids import new_id
from service.domain.processor import Processor
from service.store import datasets, dependencies, jobs
from service.store.claims import Claim
from service.store.jobs import NewJob
from workers.tools import Tools


async def queue(tools: Tools, claim: Claim, processor: Processor) -> None:
    """Queue that job, once, if there is one to come."""
    if processor.followed_by is None or claim.corrects_id is not None or tools.settings.enrich is False:
        return
    options = processor.options.model_validate(claim.options)
    named = processor.followed_by(options)
    if named is None or (following := tools.processors.get(named.processor)) is None or claim.dataset_id is None:
        return
    look_up = named.is_asked_for or tools.settings.looks_up
    job_id = new_id()
    async with tools.database.transaction() as db:
        dataset = await datasets.lock(db, claim.dataset_id)
        await dependencies.need(db, [claim.job_id])
        job = NewJob(
            id=job_id,
            account_id=claim.account_id,
            processor=following.name,
            queue=following.queue,
            priority=5,
            upload_id=None,
            dataset_id=None,
            options={},
            metadata={"follows": str(claim.job_id)},
            unit=following.unit,
            total=None,
            dedupe_key=_key(following.name, claim.job_id),
            input={"dataset": dataset.name, "job_id": str(claim.job_id), "look_up": look_up},
            retry=following.retry,
            waits_for=1,
        )
        if await jobs.submit(db, job) == job_id:
            await dependencies.add(db, claim.account_id, [(job_id, claim.job_id)])


def _key(name: str, job_id: UUID) -> str:
    return f"{name}:{job_id}"
