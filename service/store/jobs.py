"""Jobs: submit, read, and what a user can do to them; `claims` is the worker's side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record, UniqueViolationError

from service.domain.errors import NotFound, StateError, Transient
from service.domain.job import DEFAULT_RETRY, Control, Counts, Job, Outcome, Progress, Retry, RunIf, State
from service.domain.upload import Upload
from service.store import acting
from service.store.acting import Act
from service.store.database import Connection
from service.store.queries import load
from service.store.uploads import file_needed

_SQL = load("job")


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submit has to say; the store adds state, times and the first event."""

    id: UUID
    account_id: UUID
    processor: str
    queue: str
    priority: int
    upload_id: UUID | None
    dataset_id: UUID | None
    options: Mapping[str, Any]
    metadata: Mapping[str, Any]
    unit: str
    total: int | None
    run_at: datetime | None = None
    dedupe_key: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    retry: Retry = DEFAULT_RETRY
    waits_for: int = 0
    run_if: RunIf = RunIf.COMPLETED
    flow_id: UUID | None = None
    step: str | None = None
    is_required: bool = True
    is_needed: bool = False
    corrects_id: UUID | None = None


async def submit(db: Connection, job: NewJob) -> UUID:
    """Write a job and its first event; returns its id, or that of the live job with the same dedupe_key.

    Raises StateError: the upload has expired.
    """
    told = {"processor": job.processor, "priority": job.priority, "metadata": job.metadata}
    if job.flow_id is not None:
        told |= {"flow_id": str(job.flow_id), "step": job.step}
    if job.corrects_id is not None:
        told |= {"corrects": str(job.corrects_id)}
    with file_needed():
        created: UUID | None = await db.fetchval(
            _SQL["submit"],
            job.id,
            job.account_id,
            job.processor,
            job.queue,
            job.priority,
            job.upload_id,
            job.dataset_id,
            job.options,
            job.metadata,
            job.unit,
            job.total,
            told,
            job.run_at,
            job.dedupe_key,
            job.input,
            job.retry.max_attempts,
            job.retry.first_wait_s,
            job.retry.longest_wait_s,
            job.retry.deadline_s,
            job.waits_for,
            job.run_if,
            job.flow_id,
            job.step,
            job.is_required,
            job.is_needed,
            job.corrects_id,
        )
    joined: UUID | None = created or await db.fetchval(_SQL["live"], job.account_id, job.dedupe_key)
    if joined is None:
        raise Transient("busy", "The job with this dedupe_key has just ended.", retry_after_s=1)
    return joined


async def submit_many(
    db: Connection, account_id: UUID, new: Sequence[NewJob], acts: Sequence[tuple[Act, UUID]] = ()
) -> list[Job]:
    """Write an account's jobs without upload, dataset and dedupe_key, with their first events.

    Returns them as they are then, in order. Needs no transaction. `acts` are the requests for them, where no
    transaction records its own.
    """
    rows = await db.fetch(_SQL["submit_many"], account_id, [_plain(job) for job in new], acting.entries(acts))
    written = {row["id"]: _job(row) for row in rows}
    return [written[job.id] for job in new]


async def remember(db: Connection, account_id: UUID, key: str, fingerprint: bytes, job_id: UUID) -> UUID:
    """Bind an idempotency key to a job; returns the one it was bound to first. Raises StateError: another request."""
    if await db.fetchval(_SQL["remember"], account_id, key, fingerprint, job_id):
        return job_id
    first = await remembered(db, account_id, key, fingerprint)
    assert first is not None
    return first


async def remembered(db: Connection, account_id: UUID, key: str, fingerprint: bytes) -> UUID | None:
    """The job that an idempotency key was bound to, if there is one. Raises StateError: another request."""
    row = await db.fetchrow(_SQL["remembered"], account_id, key)
    if row is not None and row["fingerprint"] != fingerprint:
        raise StateError(
            "idempotency_key_reused",
            "This Idempotency-Key was used for a different request.",
            suggestion="Make up a new key for each request; repeat a key only to repeat the request.",
        )
    return None if row is None else row["job_id"]


async def get(db: Connection, job_id: UUID) -> Job:
    """One job. Raises NotFound."""
    row = await db.fetchrow(_SQL["get"], job_id)
    if row is None:
        raise NotFound("job", job_id)
    return _job(row)


async def of_flow(db: Connection, flow_id: UUID) -> list[Job]:
    """The steps of a flow, each behind those that it needs."""
    return [_job(row) for row in await db.fetch(_SQL["of_flow"], flow_id)]


async def lock_flow(db: Connection, flow_id: UUID) -> None:
    """Hold every step of a flow until the transaction ends, in the order in which all lock jobs."""
    await db.execute(_SQL["lock_flow"], flow_id)


async def same_import(
    db: Connection, upload: Upload, processor: str, dataset_id: UUID, options: Mapping[str, Any]
) -> UUID | None:
    """The completed job that brought the content of another upload into that dataset in this way, if that stands."""
    assert upload.sha256 is not None
    await db.execute(_SQL["lock_content"], f"{dataset_id} {upload.sha256.hex()}")
    found: UUID | None = await db.fetchval(
        _SQL["same_import"], upload.account_id, upload.sha256, upload.id, processor, dataset_id, options
    )
    return found


async def page(
    db: Connection,
    *,
    before: UUID | None,
    state: State | None,
    processor: str | None,
    limit: int,
    queue: str | None = None,
) -> list[Job]:
    """Newest first, from the one before `before`. Previews are only among them if that `queue` is asked for."""
    rows = await db.fetch(_SQL["list"], before, state, processor, limit, queue)
    return [_job(row) for row in rows]


async def unfinished(db: Connection, account_id: UUID, *, limit: int) -> list[Job]:
    """The jobs of an account that have not ended, newest first."""
    return [_job(row) for row in await db.fetch(_SQL["unfinished"], account_id, limit)]


async def cancel(db: Connection, job_id: UUID, remove_rows: bool) -> bool:
    """Ask for a cancel, or do it where no worker has the job. False if its state does not allow it."""
    return await db.fetchval(_SQL["cancel"], job_id, remove_rows) is not None


async def pause(db: Connection, job_id: UUID) -> bool:
    """Ask for a pause, or do it where no worker has the job. False if its state does not allow it."""
    return await db.fetchval(_SQL["pause"], job_id) is not None


async def resume(db: Connection, job_id: UUID) -> bool:
    """Queue a paused job, or take back a pause that no worker has obeyed yet. False if there is nothing to resume."""
    return await db.fetchval(_SQL["resume"], job_id) is not None


async def retry(db: Connection, job_id: UUID, from_start: bool) -> bool:
    """Queue a failed or cancelled job again, from its checkpoint or from the start. False for any other state.

    It is pending while a job that it needs has not ended. Run it in a transaction. Raises StateError: its upload has
    expired, or another job with its dedupe_key is live.
    """
    await db.execute(_SQL["lock_needs"], job_id)
    try:
        with file_needed():
            return await db.fetchval(_SQL["retry"], job_id, from_start) is not None
    except UniqueViolationError as error:
        raise StateError(
            "conflict",
            "Another job with the dedupe_key of this one has not ended.",
            suggestion="Retry it once that one has ended.",
        ) from error


async def prioritize(db: Connection, job_id: UUID, priority: int) -> bool:
    """Change the priority of a job that has not ended. False if it has."""
    return await db.fetchval(_SQL["prioritize"], job_id, priority) is not None


async def remove(db: Connection, job_id: UUID) -> bool:
    """Take an ended job out of sight; what it stored stays. False if it has not ended."""
    return await db.fetchval(_SQL["remove"], job_id) is not None


async def matching(db: Connection, *, state: State | None, processor: str | None, limit: int) -> list[UUID]:
    """Ids of jobs, oldest first."""
    return [row["id"] for row in await db.fetch(_SQL["matching"], state, processor, limit)]


def _plain(job: NewJob) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "processor": job.processor,
        "queue": job.queue,
        "priority": job.priority,
        "options": job.options,
        "metadata": job.metadata,
        "input": job.input,
        "unit": job.unit,
        "run_at": None if job.run_at is None else job.run_at.isoformat(),
        "max_attempts": job.retry.max_attempts,
        "first_wait_s": job.retry.first_wait_s,
        "longest_wait_s": job.retry.longest_wait_s,
        "deadline_s": job.retry.deadline_s,
    }


def _control(row: Record) -> Control | None:
    return None if row["control"] is None else Control(row["control"])


def _job(row: Record) -> Job:
    return Job(
        id=row["id"],
        account_id=row["account_id"],
        processor=row["processor"],
        queue=row["queue"],
        state=State(row["state"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        priority=row["priority"],
        upload_id=row["upload_id"],
        dataset=row["dataset"],
        options=row["options"],
        metadata=row["metadata"],
        attempt=row["attempt"],
        retry=Retry(*(row[name] for name in ("max_attempts", "first_wait_s", "longest_wait_s", "deadline_s"))),
        input=row["input"],
        output=row["output"],
        flow_id=row["flow_id"],
        step=row["step"],
        event_seq=row["event_seq"],
        progress=Progress(row["done"], row["total"], row["unit"], row["phase"], row["message"], row["rate"]),
        counts=Counts(row["read"], row["inserted"], row["updated"], row["skipped"], row["rejected"]),
        problem=row["problem"],
        control=_control(row),
        cancel_requested_at=row["cancel_requested_at"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        waits_for=row["waits_for"],
        run_if=RunIf(row["run_if"]),
        is_required=row["is_required"],
        corrects_id=row["corrects_id"],
        noted=row["noted"],
        undone_by=row["undone_by"],
        undone_at=row["undone_at"],
    )
