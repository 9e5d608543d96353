"""Queue a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from service.deps import Deps
from service.domain.dataset import checked_name
from service.domain.errors import InputError, StateError, faults_of
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.processor import Processor
from service.domain.upload import Upload
from service.store import datasets, jobs, uploads
from service.store.accounts import Caller
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a caller asks for, unchecked."""

    processor: str
    dataset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | None = None
    dedupe_key: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that has been checked against the catalogue."""

    processor: Processor
    dataset: str
    options: BaseModel
    asked: JobRequest


class Replayed(Exception):
    """The request was made before, or joins a live job: that job is the answer, and nothing is written."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id


async def submit(deps: Deps, caller: Caller, upload_id: UUID, request: JobRequest) -> tuple[Job, bool]:
    """Queue a job over a stored upload; also whether it is a new one. Raises NotFound, InputError, StateError."""
    prepared = prepare(deps.catalog, request)
    job_id = new_id()

    async def write_job(db: Connection) -> UUID:
        stored = await uploads.get(db, upload_id)
        return await write(db, caller, prepared, job_id, stored, upload_id.bytes)

    try:
        return await written(deps, caller, job_id, write_job)
    except StateError as refused:
        if refused.code == "upload_expired" and (first := await replayed(deps, caller, request, upload_id.bytes)):
            return first, False
        raise


async def replayed(deps: Deps, caller: Caller, request: JobRequest, content: bytes) -> Job | None:
    """The job that the same request made before, by its idempotency key. Raises StateError: another request."""
    if (key := request.idempotency_key) is None:
        return None
    async with deps.database.transaction(caller.account_id) as db:
        first = await jobs.remembered(db, caller.account_id, key, fingerprint(request, content))
        return None if first is None else await jobs.get(db, first)


async def written(
    deps: Deps, caller: Caller, job_id: UUID, write_job: Callable[[Connection], Awaitable[UUID]]
) -> tuple[Job, bool]:
    """Write a job in a transaction and ring; the job that there is now, and whether it is `job_id`."""
    try:
        async with deps.database.transaction(caller.account_id) as db:
            job = await jobs.get(db, await write_job(db))
    except Replayed as replayed:
        async with deps.database.transaction(caller.account_id) as db:
            job = await jobs.get(db, replayed.job_id)
    if job.id == job_id:
        await deps.dispatch.ring(job.queue, [job.id])
    return job, job.id == job_id


def prepare(catalog: Mapping[str, Processor], request: JobRequest) -> Prepared:
    """Check what can be checked before any byte flows. Raises InputError."""
    processor = catalog.get(request.processor)
    if processor is None:
        raise InputError(
            "unknown_processor",
            f"There is no processor {request.processor!r}.",
            suggestion=f"Use one of: {', '.join(sorted(catalog))}.",
        )
    return Prepared(
        processor,
        checked_name(request.dataset),
        _options(processor, request.options),
        request,
    )


async def write(
    db: Connection, caller: Caller, prepared: Prepared, job_id: UUID, stored: Upload, content: bytes
) -> UUID:
    """Write the job inside the caller's transaction; returns its id, or that of the live job with its dedupe_key.

    `content` stands for the input in the request's fingerprint. Raises Replayed, StateError.
    """
    asked = prepared.asked
    live_id = await jobs.submit(
        db,
        jobs.NewJob(
            id=job_id,
            account_id=caller.account_id,
            processor=prepared.processor.name,
            queue=prepared.processor.queue,
            priority=asked.priority,
            upload_id=stored.id,
            dataset_id=await datasets.ensure(db, caller.account_id, prepared.dataset),
            options=prepared.options.model_dump(mode="json", exclude_unset=True),
            metadata=asked.metadata,
            unit=prepared.processor.unit,
            total=stored.size_bytes,
            run_at=asked.run_at,
            dedupe_key=asked.dedupe_key,
        ),
    )
    if asked.idempotency_key is not None:
        first = await jobs.remember(db, caller.account_id, asked.idempotency_key, fingerprint(asked, content), live_id)
        if first != live_id:
            raise Replayed(first)
    return live_id


def fingerprint(asked: JobRequest, content: bytes) -> bytes:
    """SHA-256 of everything that makes two requests the same."""
    said = asdict(replace(asked, idempotency_key=None))
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode() + content).digest()


def _options(processor: Processor, given: Mapping[str, Any]) -> BaseModel:
    try:
        return processor.options.model_validate(given)
    except ValidationError as error:
        known = ", ".join(processor.options.model_fields) or "none"
        raise InputError(
            "invalid_options",
            f"The options do not fit processor {processor.name!r}: {faults_of(error, 'options')}.",
            suggestion=f"Its options are: {known}. See GET /v1/processors.",
        ) from error
