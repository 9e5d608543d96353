"""Read uploads again: with the job that they had last, or with another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from service.actions.arrivals import by_rule
from service.actions.job_requests import JobRequest
from service.actions.jobs import submit
from service.deps import Deps
from service.domain.errors import InputError, MillraceError
from service.domain.filetype import check_kind
from service.domain.job import Job
from service.store import jobs, uploads
from service.store.accounts import Caller


async def reprocess(deps: Deps, caller: Caller, upload_id: UUID, asked: JobRequest | None) -> Job:
    """Queue a job over an upload: `asked`, or like its last one, or by a rule. Raises as `submit` does."""
    async with deps.database.transaction(caller.account_id) as db:
        upload = await uploads.get(db, upload_id)
        if asked is None and upload.jobs:
            asked = _like(await jobs.get(db, UUID(upload.jobs[0]["id"])))
        if asked is None:
            asked = await by_rule(db, upload.name, upload.media_type)
    if asked is None:
        raise InputError(
            "missing_parameter",
            "This upload had no job before, and no rule is for it: say which one.",
            suggestion='For example: {"processor": "csv", "dataset": "contacts"}',
        )
    if (processor := deps.catalog.get(asked.processor)) is not None:
        check_kind(upload.kind, processor)
    job, _ = await submit(deps, caller, upload_id, asked)
    return job


async def reprocess_all(
    deps: Deps, caller: Caller, upload_ids: Sequence[UUID], asked: JobRequest | None
) -> list[tuple[UUID, Job | MillraceError]]:
    """Each on its own; what became of each, in order."""
    results: list[tuple[UUID, Job | MillraceError]] = []
    for upload_id in upload_ids:
        try:
            results.append((upload_id, await reprocess(deps, caller, upload_id, asked)))
        except MillraceError as error:
            results.append((upload_id, error))
    return results


def _like(job: Job) -> JobRequest:
    return JobRequest(
        processor=job.processor,
        dataset=job.dataset,
        options=job.options,
        priority=job.priority,
        metadata=job.metadata,
        retry=asdict(job.retry),
    )
