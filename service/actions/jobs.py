"""Queue a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from service.deps import Deps
from service.domain.dataset import checked_name
from service.domain.errors import InputError, StateError, faults_of
from service.domain.ids import new_id
from service.domain.job import Job, RunIf, State
from service.domain.processor import Processor
from service.domain.upload import Upload
from service.store import acting, datasets, dependencies, jobs, uploads
from service.store.accounts import Caller
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a caller asks for, unchecked."""

    processor: str
    dataset: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5
    metadata: Mapping[str, Any] = field(default_factory=dict)
    run_at: datetime | None = None
    dedupe_key: str | None = None
    retry: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[UUID, ...] = ()
    run_if: RunIf = RunIf.COMPLETED
    idempotency_key: str | None = None
    again: bool = False
    """Whether to import content that has been imported before in the same way."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that has been checked against the catalogue."""

    processor: Processor
    dataset: str | None
    options: BaseModel
    asked: JobRequest

    @property
    def stands_alone(self) -> bool:
        """Whether writing it asks nothing but to write it: no upload, no dataset, no key, no job to wait for."""
        asked = self.asked
        return not (self.processor.reads_file or asked.dedupe_key or asked.idempotency_key or asked.after)

    def job(
        self, job_id: UUID, account_id: UUID, *, stored: Upload | None = None, dataset_id: UUID | None = None
    ) -> jobs.NewJob:
        """The job to be written, over its upload and into its dataset where it has them."""
        asked = self.asked
        return jobs.NewJob(
            id=job_id,
            account_id=account_id,
            processor=self.processor.name,
            queue=self.processor.queue,
            priority=asked.priority,
            upload_id=None if stored is None else stored.id,
            dataset_id=dataset_id,
            input=asked.input,
            options=self.options.model_dump(mode="json", exclude_unset=True),
            metadata=asked.metadata,
            unit=self.processor.unit,
            total=None if stored is None else stored.size_bytes,
            run_at=asked.run_at,
            dedupe_key=asked.dedupe_key,
            retry=replace(self.processor.retry, **asked.retry),
            run_if=asked.run_if,
        )


class Replayed(Exception):
    """The request was made before, or joins a live job: that job is the answer, and nothing is written."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id


class Duplicate(Replayed):
    """A completed job has imported the very same content in the same way. `key` is to stand for it from now on."""

    def __init__(self, job_id: UUID, key: tuple[str, bytes] | None) -> None:
        super().__init__(job_id)
        self.key = key


async def submit(deps: Deps, caller: Caller, upload_id: UUID | None, request: JobRequest) -> tuple[Job, bool]:
    """Queue a job, over a stored upload if it reads one; also whether it is a new one.

    Raises NotFound, InputError, StateError.
    """
    prepared = prepare(deps.catalog, request)
    check_upload(prepared.processor, upload_id)
    job_id = new_id()
    if prepared.stands_alone:
        job = await deps.submits.submit(prepared.job(job_id, caller.account_id))
        deps.dispatch.ring(job.queue, job.id)
        return job, True

    content = b"" if upload_id is None else upload_id.bytes

    async def write_job(db: Connection) -> UUID:
        stored = None if upload_id is None else await readable(db, upload_id)
        return await write(db, caller, prepared, job_id, stored, content)

    try:
        return await written(deps, caller, job_id, write_job)
    except StateError as refused:
        if refused.code == "upload_expired" and (first := await replayed(deps, caller, request, content)):
            return first, False
        raise


async def replayed(deps: Deps, caller: Caller, request: JobRequest, content: bytes) -> Job | None:
    """The job that the same request made before, by its idempotency key. Raises StateError: another request."""
    if (key := request.idempotency_key) is None:
        return None
    async with deps.database.transaction(caller.account_id) as db:
        first = await jobs.remembered(db, caller.account_id, key, fingerprint(request, content))
        return None if first is None else await jobs.get(db, first)


async def submit_all(deps: Deps, caller: Caller, asked: Sequence[tuple[UUID | None, JobRequest]]) -> list[Job]:
    """Queue many jobs, each with its upload, in one transaction: all of them, or none. Raises as `submit` does."""
    checked = [(upload_id, prepare(deps.catalog, replace(request, again=True))) for upload_id, request in asked]
    for upload_id, prepared in checked:
        check_upload(prepared.processor, upload_id)
    async with deps.database.transaction(caller.account_id) as db:
        alone = [p.job(new_id(), caller.account_id) for _, p in checked if p.stands_alone]
        written_alone = iter(await jobs.submit_many(db, caller.account_id, alone))
        acting.about(*(job.id for job in alone))
        queued = [
            next(written_alone) if prepared.stands_alone else await _write_one(db, caller, prepared, upload_id)
            for upload_id, prepared in checked
        ]
    for queue in {job.queue for job in queued}:
        deps.dispatch.ring(queue, *(job.id for job in queued if job.queue == queue))
    return queued


async def _write_one(db: Connection, caller: Caller, prepared: Prepared, upload_id: UUID | None) -> Job:
    stored = None if upload_id is None else await readable(db, upload_id)
    return await jobs.get(db, await write(db, caller, prepared, new_id(), stored, b""))


async def readable(db: Connection, upload_id: UUID) -> Upload:
    """An upload that a job could read. Raises NotFound, InputError: it is empty."""
    stored = await uploads.get(db, upload_id)
    if stored.size_bytes == 0:
        raise InputError("file_empty", "This upload is empty.", suggestion="Upload a file with content.")
    return stored


async def written(
    deps: Deps, caller: Caller, job_id: UUID, write_job: Callable[[Connection], Awaitable[UUID]]
) -> tuple[Job, bool]:
    """Write a job in a transaction and ring; the job that there is now, and whether it is `job_id`."""
    try:
        async with deps.database.transaction(caller.account_id) as db:
            job = await jobs.get(db, await write_job(db))
    except Duplicate as duplicate:
        return await _offered(deps, caller, duplicate), False
    except Replayed as replayed:
        async with deps.database.transaction(caller.account_id) as db:
            job = await jobs.get(db, replayed.job_id)
    if job.id == job_id:
        deps.dispatch.ring(job.queue, job.id)
        deps.bus.notify((job.id, job.account_id))
    return job, job.id == job_id


async def _offered(deps: Deps, caller: Caller, duplicate: Duplicate) -> Job:
    async with deps.database.transaction(caller.account_id) as db:
        if duplicate.key is None:
            return replace(await jobs.get(db, duplicate.job_id), is_duplicate=True)
        first = await jobs.remember(db, caller.account_id, *duplicate.key, duplicate.job_id)
        return replace(await jobs.get(db, first), is_duplicate=first == duplicate.job_id)


def prepare(catalog: Mapping[str, Processor], request: JobRequest, *, finds_dataset: bool = False) -> Prepared:
    """Check what can be checked before any byte flows; a job that `finds_dataset` learns its dataset when it runs.

    Raises InputError.
    """
    processor = catalog.get(request.processor)
    if processor is None:
        raise InputError(
            "unknown_processor",
            f"There is no processor {request.processor!r}.",
            suggestion=f"Use one of: {', '.join(sorted(catalog))}.",
        )
    dataset = None if finds_dataset and processor.reads_file else _dataset(processor, request)
    return Prepared(processor, dataset, _options(processor, request.options), request)


def check_upload(processor: Processor, upload_id: UUID | None) -> None:
    """Check that there is an upload exactly if the processor reads one. Raises InputError."""
    if processor.reads_file and upload_id is None:
        raise InputError(
            "upload_needed",
            f"Processor {processor.name!r} reads a file, and the job names none.",
            suggestion="Name an upload_id, or send the file itself to POST /v1/imports.",
        )
    if not processor.reads_file and upload_id is not None:
        raise InputError(
            "no_upload_wanted", f"Processor {processor.name!r} reads no file.", suggestion="Leave upload_id out."
        )


async def write(
    db: Connection, caller: Caller, prepared: Prepared, job_id: UUID, stored: Upload | None, content: bytes
) -> UUID:
    """Write the job inside the caller's transaction; returns its id, or that of the live job with its dedupe_key.

    `content` stands for the input in the request's fingerprint. Raises Replayed, NotFound, StateError.
    """
    asked, key = prepared.asked, prepared.asked.idempotency_key
    if key is not None and asked.after:  # what it waits for may have failed since, or be gone
        made = await jobs.remembered(db, caller.account_id, key, fingerprint(asked, content))
        if made is not None:
            raise Replayed(made)
    dataset_id = None
    if prepared.dataset is not None:
        dataset_id = await datasets.ensure(db, caller.account_id, prepared.dataset)
    if stored is not None and dataset_id is not None:
        await _check_duplicate(db, caller, prepared, dataset_id, stored, content)
    waits_for = await _need(db, asked) if asked.after else 0
    job = prepared.job(job_id, caller.account_id, stored=stored, dataset_id=dataset_id)
    live_id = await jobs.submit(db, replace(job, waits_for=waits_for))
    acting.about(live_id)
    if live_id == job_id and asked.after:
        await dependencies.add(db, caller.account_id, [(job_id, needs_id) for needs_id in asked.after])
    if key is not None:
        first = await jobs.remember(db, caller.account_id, key, fingerprint(asked, content), live_id)
        if first != live_id:
            raise Replayed(first)
    return live_id


async def _check_duplicate(
    db: Connection, caller: Caller, prepared: Prepared, dataset_id: UUID, stored: Upload, content: bytes
) -> None:
    """Offer the job that has added this content before. To name the very same upload again is a wish to rerun it.

    An upsert or a replace may be repeated without harm, and is. Raises Duplicate.
    """
    asked, key = prepared.asked, prepared.asked.idempotency_key
    is_meant = asked.again or asked.after or asked.run_at is not None or asked.dedupe_key is not None
    if is_meant or asked.options.get("mode", "append") != "append":
        return
    named = None if key is None else (key, fingerprint(asked, content))
    if named is not None and (made := await jobs.remembered(db, caller.account_id, *named)) is not None:
        raise Replayed(made)
    job = prepared.job(new_id(), caller.account_id)
    found = await jobs.same_import(db, stored, job.processor, dataset_id, job.options)
    if found is not None:
        raise Duplicate(found, named)


async def _need(db: Connection, asked: JobRequest) -> int:
    """Hold the jobs that one is to wait for; how many have yet to end. Raises NotFound, StateError."""
    needed = await dependencies.need(db, asked.after)
    for job in needed if asked.run_if is RunIf.COMPLETED else ():
        if not job.is_live and job.state is not State.COMPLETED:
            raise StateError(
                "dependency_failed",
                f"Job {job.id} is {job.state.value}, and this one is to run only if that completes.",
                suggestion=f"POST /v1/jobs/{job.id}/retry first, or leave it out of `after`, or use run_if=ended.",
            )
    return sum(job.is_live for job in needed)


def fingerprint(asked: JobRequest, content: bytes) -> bytes:
    """SHA-256 of everything that makes two requests the same."""
    said = asdict(replace(asked, idempotency_key=None))
    del said["again"]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode() + content).digest()


def _dataset(processor: Processor, request: JobRequest) -> str | None:
    if not processor.reads_file and request.dataset is None:
        return None
    if not processor.reads_file:
        raise InputError(
            "no_dataset_wanted", f"Processor {processor.name!r} fills no dataset.", suggestion="Leave dataset out."
        )
    if request.dataset is None:
        raise InputError(
            "dataset_needed",
            f"Processor {processor.name!r} fills a dataset, and the job names none.",
            suggestion='For example: "dataset": "contacts"',
        )
    return checked_name(request.dataset)


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
