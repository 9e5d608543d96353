"""Queue a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID

from service.actions.job_requests import JobRequest, Prepared, check_upload, fingerprint, prepare
from service.deps import Deps
from service.domain.errors import InputError, StateError
from service.domain.ids import new_id
from service.domain.job import Job, RunIf, State
from service.domain.upload import Upload
from service.store import acting, datasets, dependencies, jobs, uploads
from service.store.accounts import Caller
from service.store.database import Connection


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
        announce(deps, [job])
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
    announce(deps, queued)
    return queued


def announce(deps: Deps, queued: Sequence[Job]) -> None:
    """Have workers look for an account's new jobs, and tell who follows it."""
    ring(deps, queued)
    for job in queued[-1:]:  # its account is theirs, and nobody follows a single one of them yet
        deps.bus.notify((job.id, job.account_id))


def ring(deps: Deps, queued: Sequence[Job]) -> None:
    """Have workers look for these jobs."""
    for queue in {job.queue for job in queued}:
        deps.dispatch.ring(queue, *(job.id for job in queued if job.queue == queue))


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
        announce(deps, [job])
    return job, job.id == job_id


async def _offered(deps: Deps, caller: Caller, duplicate: Duplicate) -> Job:
    async with deps.database.transaction(caller.account_id) as db:
        if duplicate.key is None:
            return replace(await jobs.get(db, duplicate.job_id), is_duplicate=True)
        first = await jobs.remember(db, caller.account_id, *duplicate.key, duplicate.job_id)
        return replace(await jobs.get(db, first), is_duplicate=first == duplicate.job_id)


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
    if asked.after and dataset_id is not None:
        await datasets.hold(db, dataset_id)
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
