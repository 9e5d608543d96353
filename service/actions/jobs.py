"""Queue a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from service.deps import Deps
from service.domain.dataset import checked_name
from service.domain.errors import InputError
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that has been checked against the catalogue."""

    processor: Processor
    dataset: str
    options: BaseModel
    priority: int
    metadata: Mapping[str, Any]


async def submit(deps: Deps, caller: Caller, upload_id: UUID, request: JobRequest) -> Job:
    """Queue a job over a stored upload. Raises NotFound, InputError."""
    prepared = prepare(deps.catalog, request)
    async with deps.database.transaction(caller.account_id) as db:
        stored = await uploads.get(db, upload_id)
        job = await jobs.get(db, await write(db, caller, prepared, stored))
    await deps.dispatch.ring(job.queue, [job.id])
    return job


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
        request.priority,
        request.metadata,
    )


async def write(db: Connection, caller: Caller, prepared: Prepared, stored: Upload) -> UUID:
    """Write the job and its dataset inside the caller's transaction; returns the job's id."""
    job_id = new_id()
    await jobs.submit(
        db,
        jobs.NewJob(
            id=job_id,
            account_id=caller.account_id,
            processor=prepared.processor.name,
            queue=prepared.processor.queue,
            priority=prepared.priority,
            upload_id=stored.id,
            dataset_id=await datasets.ensure(db, caller.account_id, prepared.dataset),
            options=prepared.options.model_dump(mode="json", exclude_unset=True),
            metadata=prepared.metadata,
            unit=prepared.processor.unit,
            total=stored.size_bytes,
        ),
    )
    return job_id


def _options(processor: Processor, given: Mapping[str, Any]) -> BaseModel:
    try:
        return processor.options.model_validate(given)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc'])) or 'options'}: {f['msg']}" for f in error.errors())
        known = ", ".join(processor.options.model_fields) or "none"
        raise InputError(
            "invalid_options",
            f"The options do not fit processor {processor.name!r}: {faults}.",
            suggestion=f"Its options are: {known}. See GET /v1/processors.",
        ) from error
