"""Store a file, or a file and the job that reads it."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from uuid import UUID

from service.actions.jobs import JobRequest, Replayed, prepare, write, written
from service.deps import Deps
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.upload import Upload, label
from service.files.port import Received
from service.store import uploads
from service.store.accounts import Caller
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class Body:
    """A file on its way in: what the client calls it, and its bytes."""

    name: str | None
    media_type: str | None
    content: AsyncIterable[bytes]


async def upload(deps: Deps, caller: Caller, body: Body) -> Upload:
    """Store a file. When this returns it is durable. Raises InputError, TooLarge, Transient."""
    upload_id = new_id()
    received = await _receive(deps, upload_id, body)
    try:
        async with deps.database.transaction(caller.account_id) as db:
            return await _add(db, caller, upload_id, body, received)
    except BaseException:
        await deps.files.remove(upload_id)
        raise


async def import_file(deps: Deps, caller: Caller, body: Body, request: JobRequest) -> tuple[Job, bool]:
    """Store a file and queue the job that imports it: both are there, or neither is. Also whether the job is new."""
    prepared = prepare(deps.catalog, request)  # before any byte flows
    upload_id, job_id = new_id(), new_id()
    received = await _receive(deps, upload_id, body)

    async def write_both(db: Connection) -> UUID:
        stored = await _add(db, caller, upload_id, body, received)
        live_id = await write(db, caller, prepared, job_id, stored, received.sha256)
        if live_id != job_id:
            raise Replayed(live_id)  # it joins a live job: the second copy of the file is not kept
        return job_id

    try:
        job, is_new = await written(deps, caller, job_id, write_both)
    except BaseException:
        await deps.files.remove(upload_id)
        raise
    if not is_new:
        await deps.files.remove(upload_id)
    return job, is_new


async def _receive(deps: Deps, upload_id: UUID, body: Body) -> Received:
    return await deps.files.receive(upload_id, body.content, deps.settings.max_upload_bytes)


async def _add(db: Connection, caller: Caller, upload_id: UUID, body: Body, received: Received) -> Upload:
    return await uploads.add(
        db,
        caller.account_id,
        upload_id,
        label(body.name),
        received.size_bytes,
        received.sha256,
        body.media_type,
        received.file.seal,
    )
