"""Find out which processor a stored file is for, by its content; what its reader has to be told comes with that."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

from service.actions.flows import FlowRequest, StepRequest
from service.actions.glimpses import glimpse_of
from service.actions.job_requests import JobRequest
from service.actions.jobs import readable
from service.deps import Deps
from service.domain.dataset import checked_name
from service.domain.naming import plain_name
from service.domain.recognition import AUTO, Candidate, Part, Unrecognised, decided, likeliest
from service.domain.upload import Upload
from service.files.port import File, Received
from service.store.accounts import Caller

FLOW_NAME = 200


async def recognised(deps: Deps, received: Received, name: str, asked: JobRequest) -> JobRequest | FlowRequest:
    """What is asked for, with the processor that the file is for; a flow where an archive has several files.

    Raises Unrecognised, InputError.
    """
    if asked.processor != AUTO:
        return asked
    found = decided(deps.catalog, await glimpse_of(deps, received, name))
    return _told(asked, found) if isinstance(found, Candidate) else _flow(asked, name, found)


async def recognised_upload(deps: Deps, caller: Caller, upload_id: UUID, asked: JobRequest) -> JobRequest:
    """The same of an upload that is there already, for one job. Raises NotFound, StateError too."""
    async with deps.database.transaction(caller.account_id) as db:
        stored = await readable(db, upload_id)
    found = await recognised(deps, _received(stored), stored.name, asked)
    if isinstance(found, JobRequest):
        return found
    raise Unrecognised(
        "The archive has several files, and a job reads one: name it with the option member.",
        [_of(step.job) for step in found.steps],
    )


async def suggested(deps: Deps, caller: Caller, upload_id: UUID) -> list[Candidate]:
    """What an upload may be, best first. Raises NotFound, InputError."""
    async with deps.database.transaction(caller.account_id) as db:
        stored = await readable(db, upload_id)
    return likeliest(deps.catalog, await glimpse_of(deps, _received(stored), stored.name))


def _received(stored: Upload) -> Received:
    return Received(File(stored.id, stored.seal), stored.size_bytes or 0, stored.sha256 or b"")


def _told(asked: JobRequest, found: Candidate) -> JobRequest:
    """What a caller says of an option counts, not what was seen."""
    return replace(asked, processor=found.processor, options={**found.options, **asked.options})


def _of(job: JobRequest) -> Candidate:
    return Candidate(job.processor, 0.9, str(job.options.get("member")), job.options)


def _flow(asked: JobRequest, name: str, parts: list[Part]) -> FlowRequest:
    """One step a file, each with a dataset of its own, called after the file."""
    prefix, taken, steps = checked_name(asked.dataset or ""), set[str](), []
    for number, part in enumerate(parts, start=1):
        stem = plain_name(re.sub(r"\.\w+$", "", part.member.rsplit("/", 1)[-1])) or f"file_{number}"
        dataset = f"{prefix}_{stem}"[:48].rstrip("_")
        dataset = dataset if dataset not in taken else f"{dataset[:43]}_{number}"
        taken.add(dataset)
        job = _told(asked, part.candidate)
        job = replace(job, dataset=dataset, options={**job.options, "member": part.member}, idempotency_key=None)
        steps.append(StepRequest(f"file_{number}", replace(job, dedupe_key=None)))
    return FlowRequest(name[:FLOW_NAME], asked.metadata, steps)
