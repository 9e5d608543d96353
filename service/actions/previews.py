"""Look at a file as an import would, and write nothing: a job in a queue of its own, with what it saw as its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

from service.actions.jobs import JobRequest, check_upload, prepare, written
from service.actions.uploads import Incoming, upload
from service.deps import Deps
from service.domain.dataset import checked_name
from service.domain.errors import InputError
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.processor import PREVIEWS
from service.store import jobs, uploads
from service.store.accounts import Caller
from service.store.database import Connection

Scope = Literal["sample", "file"]


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What a caller asks for, unchecked. Without a processor, the file's name says which."""

    processor: str | None = None
    dataset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    scope: Scope = "sample"


async def preview(deps: Deps, caller: Caller, source: UUID | Incoming, asked: PreviewRequest) -> Job:
    """Queue a preview of an upload, or of a body that is not kept.

    Raises NotFound, InputError, StateError, TooLarge.
    """
    if asked.dataset is not None:
        checked_name(asked.dataset)
    if isinstance(source, Incoming):
        request = _request(deps, asked, source.arrival.name)  # before any byte flows
        upload_id = (await upload(deps, caller, source.arrival, source.content)).upload.id
    else:
        async with deps.database.transaction(caller.account_id) as db:
            stored = await uploads.get(db, source)
        request, upload_id = _request(deps, asked, stored.name), source
    prepared = prepare(deps.catalog, request, finds_dataset=True)
    check_upload(prepared.processor, upload_id)
    job_id = new_id()
    wanted = {
        "scope": asked.scope,
        "dataset": asked.dataset,
        "temporary": isinstance(source, Incoming),
    }

    async def write_job(db: Connection) -> UUID:
        stored = await uploads.get(db, upload_id)
        job = jobs.NewJob(
            id=job_id,
            account_id=caller.account_id,
            processor=prepared.processor.name,
            queue=PREVIEWS,
            priority=5,
            upload_id=upload_id,
            dataset_id=None,
            input={"preview": wanted},
            options=prepared.options.model_dump(mode="json", exclude_unset=True),
            metadata={},
            unit=prepared.processor.unit,
            total=stored.size_bytes,
            retry=prepared.processor.retry,
        )
        return await jobs.submit(db, job)

    job, _ = await written(deps, caller, job_id, write_job)
    return job


def _request(deps: Deps, asked: PreviewRequest, name: str | None) -> JobRequest:
    request = JobRequest(asked.processor or _by_name(deps, name or ""), options=asked.options)
    processor = prepare(deps.catalog, request, finds_dataset=True).processor
    if not processor.reads_file:
        raise InputError(
            "no_upload_wanted",
            f"Processor {processor.name!r} reads no file, so there is nothing to preview.",
            suggestion="Name a processor that reads files; GET /v1/processors lists them.",
        )
    return request


def _by_name(deps: Deps, name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    fitting = [p.name for p in deps.catalog.values() if p.reads_file and suffix and suffix in p.suffixes]
    return fitting[0] if fitting else "csv"
