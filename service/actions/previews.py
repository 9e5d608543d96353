"""Look at a file as an import would, and write nothing: a job in a queue of its own, with what it saw as its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

from service.actions.appends import give_up
from service.actions.job_requests import JobRequest, Prepared, prepare
from service.actions.jobs import written
from service.actions.recognising import suggested
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

MOST_GUESSES = 20


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What a caller asks for, unchecked. Without a processor, the content says which, or else the file's name."""

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
    if asked.processor is not None:
        _check(deps, asked)  # before any byte flows
    upload_id = source
    if isinstance(source, Incoming):
        upload_id = (await upload(deps, caller, source.arrival, source.content)).upload.id
    assert isinstance(upload_id, UUID)
    try:
        return await _queued(deps, caller, upload_id, asked, is_kept=not isinstance(source, Incoming))
    except InputError:
        if isinstance(source, Incoming):
            await give_up(deps, caller, upload_id)
        raise


async def _queued(deps: Deps, caller: Caller, upload_id: UUID, asked: PreviewRequest, *, is_kept: bool) -> Job:
    asked, guesses = await _settled(deps, caller, upload_id, asked)
    prepared = _check(deps, asked)
    job_id = new_id()
    wanted = {
        "scope": asked.scope,
        "dataset": asked.dataset,
        "temporary": not is_kept,
        "recognised": guesses,
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


async def _settled(
    deps: Deps, caller: Caller, upload_id: UUID, asked: PreviewRequest
) -> tuple[PreviewRequest, list[Mapping[str, Any]] | None]:
    """With a processor and what it has to be told, and what the file may be, best first, if none was named."""
    if asked.processor is not None:
        return asked, None
    found = await suggested(deps, caller, upload_id)
    if not found:
        async with deps.database.transaction(caller.account_id) as db:
            stored = await uploads.get(db, upload_id)
        return replace(asked, processor=_by_name(deps, stored.name)), []
    best = found[0]
    told = replace(asked, processor=best.processor, options={**best.options, **asked.options})
    return told, [asdict(candidate) for candidate in found[:MOST_GUESSES]]


def _check(deps: Deps, asked: PreviewRequest) -> Prepared:
    """Raises InputError."""
    prepared = prepare(deps.catalog, JobRequest(str(asked.processor), options=asked.options), finds_dataset=True)
    if not prepared.processor.reads_file:
        raise InputError(
            "no_upload_wanted",
            f"Processor {prepared.processor.name!r} reads no file, so there is nothing to preview.",
            suggestion="Name a processor that reads files; GET /v1/processors lists them.",
        )
    return prepared


def _by_name(deps: Deps, name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    fitting = [p.name for p in deps.catalog.values() if p.reads_file and suffix and suffix in p.suffixes]
    return fitting[0] if fitting else "csv"
