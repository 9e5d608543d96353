"""What a job is asked to be, and what can be checked of that before any byte flows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from service.domain.dataset import checked_name
from service.domain.errors import InputError, faults_of
from service.domain.job import RunIf
from service.domain.processor import Processor
from service.domain.upload import Upload
from service.store import jobs


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
