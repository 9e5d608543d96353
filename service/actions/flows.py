"""Submit flows, and cancel or retry them as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from service.actions.job_requests import JobRequest, Prepared, check_upload, prepare
from service.actions.jobs import Replayed, ring
from service.deps import Deps
from service.domain import reference
from service.domain.errors import InputError, StateError
from service.domain.flow import Flow, ancestors, in_order
from service.domain.ids import new_id
from service.domain.job import FINAL, Job, State
from service.domain.processor import Processor
from service.store import acting, datasets, dependencies, flows, jobs, uploads
from service.store.accounts import Caller
from service.store.database import Connection
from service.store.jobs import NewJob


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What a caller asks of one step, unchecked. `found` has references, by what they stand for: upload_id, dataset."""

    key: str
    job: JobRequest
    upload_id: UUID | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class FlowRequest:
    """What a caller asks for, unchecked."""

    name: str
    metadata: Mapping[str, Any]
    steps: Sequence[StepRequest]

    def over(self, upload_id: UUID) -> FlowRequest:
        """The same with every step reading this upload."""
        return replace(self, steps=[replace(step, upload_id=upload_id) for step in self.steps])


@dataclass(frozen=True, slots=True)
class _Planned:
    """A checked step with the id that its job will have."""

    job_id: UUID
    asked: StepRequest
    prepared: Prepared


async def submit(deps: Deps, caller: Caller, request: FlowRequest, idempotency_key: str | None) -> tuple[Flow, bool]:
    """Write a flow with all of its steps, and ring for those that wait for none; also whether it is new.

    Raises InputError, NotFound (an upload), StateError (the key).
    """
    planned = _plan(deps.catalog, request)
    flow_id = new_id()
    try:
        async with deps.database.transaction(caller.account_id) as db:
            await flows.add(db, flow_id, caller.account_id, request.name, request.metadata)
            acting.about(flow_id)
            written = await _write(db, caller, flow_id, planned)
            if idempotency_key is not None:
                await _remember(db, caller, idempotency_key, request, planned[0].job_id)
            flow = await flows.get(db, flow_id)
    except Replayed as replayed:
        async with deps.database.transaction(caller.account_id) as db:
            first = await jobs.get(db, replayed.job_id)
            assert first.flow_id is not None
            return await flows.get(db, first.flow_id), False
    _ring(deps, written)
    return flow, True


def check(catalog: Mapping[str, Processor], request: FlowRequest) -> None:
    """What can be checked before anything is written. Raises InputError."""
    _plan(catalog, request)


async def cancel(deps: Deps, caller: Caller, flow_id: UUID, *, remove_rows: bool) -> None:
    """Cancel every step that has not ended. Raises NotFound, StateError."""

    async def cancel_one(db: Connection, job: Job) -> bool:
        return job.state not in FINAL and await jobs.cancel(db, job.id, remove_rows)

    await _change(deps, caller, flow_id, cancel_one, "cancel", "a step must be left that has not ended")


async def retry(deps: Deps, caller: Caller, flow_id: UUID, *, from_start: bool) -> None:
    """Run every step again that failed or was cancelled, each once those it needs have ended.

    Raises NotFound, StateError.
    """

    async def retry_one(db: Connection, job: Job) -> bool:
        return job.state in (State.FAILED, State.CANCELLED) and await jobs.retry(db, job.id, from_start)

    await _change(deps, caller, flow_id, retry_one, "retry", "a step must have failed or been cancelled")


async def _change(
    deps: Deps,
    caller: Caller,
    flow_id: UUID,
    change: Callable[[Connection, Job], Awaitable[bool]],
    name: str,
    needs: str,
) -> None:
    """Change the steps one by one, needed ones first, all in one transaction; then tell."""
    async with deps.database.transaction(caller.account_id) as db:
        await flows.get(db, flow_id)
        await jobs.lock_flow(db, flow_id)
        changed = {job.id for job in await jobs.of_flow(db, flow_id) if await change(db, job)}
        if not changed:
            raise StateError("conflict", f"This flow has no step to {name}.", suggestion=f"For {name}, {needs}.")
        steps = [job for job in await jobs.of_flow(db, flow_id) if job.id in changed]
    deps.bus.notify(*((changed_id, caller.account_id) for changed_id in (flow_id, *changed)))
    for job in steps:
        if job.control is not None:
            await deps.bus.ask(job.id)
    _ring(deps, steps)


def _ring(deps: Deps, steps: Sequence[Job]) -> None:
    ring(deps, [job for job in steps if job.state is State.QUEUED])


def _plan(catalog: Mapping[str, Processor], request: FlowRequest) -> list[_Planned]:
    """The steps, checked, in the order of their ids: each behind those that it needs."""
    steps = {step.key: step for step in request.steps}
    if len(steps) < len(request.steps):
        keys = [step.key for step in request.steps]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError("invalid_flow", f"Two steps have the key {twice!r}.", suggestion="Give each its own key.")
    if not any(step.is_required for step in request.steps):
        raise InputError(
            "invalid_flow", "No step is required, so the flow would never end.", suggestion="Let one be required."
        )
    needs = {key: step.after for key, step in steps.items()}
    order, before = in_order(needs), ancestors(needs)
    ids = sorted(new_id() for _ in order)
    return [
        _Planned(job_id, steps[key], _checked(catalog, steps[key], before[key]))
        for job_id, key in zip(ids, order, strict=True)
    ]


def _checked(catalog: Mapping[str, Processor], step: StepRequest, before: frozenset[str]) -> Prepared:
    """One step, checked; what is wrong is said with its key."""
    try:
        prepared = prepare(catalog, step.job, finds_dataset="dataset" in step.found)
        if prepared.processor.reads_file and step.job.input:
            raise InputError(
                "no_input_wanted",
                f"Processor {prepared.processor.name!r} reads a file, not an input.",
                suggestion="Leave input out.",
            )
        if not prepared.processor.reads_file and step.found:
            raise InputError(
                f"no_{'upload' if 'upload_id' in step.found else 'dataset'}_wanted",
                f"Processor {prepared.processor.name!r} reads no file.",
                suggestion="Leave upload_id and dataset out.",
            )
        if "upload_id" not in step.found:
            check_upload(prepared.processor, step.upload_id)
        _check_references(step, before)
    except InputError as error:
        raise InputError(error.code, f"Step {step.key!r}: {error.message}", suggestion=error.suggestion) from error
    # A file's reader has no input of its own: what it is to find out stands there.
    return replace(prepared, asked=replace(step.job, input=step.found)) if step.found else prepared


def _check_references(step: StepRequest, before: frozenset[str]) -> None:
    for path in (*reference.within(step.job.input), *reference.within(step.found)):
        if reference.step_of(path) not in before:
            raise InputError(
                "invalid_reference",
                f"{path!r} does not begin with a step that has ended before this one.",
                suggestion=f"Begin it with one of: {', '.join(sorted(before))}."
                if before
                else "Name the step in `after`.",
            )


async def _write(db: Connection, caller: Caller, flow_id: UUID, planned: Sequence[_Planned]) -> list[Job]:
    """Write the steps and who waits for whom; the jobs as they are then."""
    ids = {step.asked.key: step.job_id for step in planned}
    needed = {key for step in planned for key in step.asked.after}
    for step in planned:
        job = await _new_job(db, caller, step)
        job = replace(
            job,
            waits_for=len(step.asked.after),
            flow_id=flow_id,
            step=step.asked.key,
            is_required=step.asked.is_required,
            is_needed=step.asked.key in needed,
        )
        await jobs.submit(db, job)
    edges = [(step.job_id, ids[key]) for step in planned for key in step.asked.after]
    await dependencies.add(db, caller.account_id, edges)
    return await jobs.of_flow(db, flow_id)


async def _new_job(db: Connection, caller: Caller, step: _Planned) -> NewJob:
    stored = None if step.asked.upload_id is None else await uploads.get(db, step.asked.upload_id)
    dataset_id = None
    if step.prepared.dataset is not None:
        dataset_id = await datasets.ensure(db, caller.account_id, step.prepared.dataset)
    return step.prepared.job(step.job_id, caller.account_id, stored=stored, dataset_id=dataset_id)


async def _remember(db: Connection, caller: Caller, key: str, request: FlowRequest, first_step: UUID) -> None:
    """Bind the key to the flow's first step. Raises Replayed, StateError."""
    said = json.dumps({"flow": asdict(request)}, sort_keys=True, default=str)
    first = await jobs.remember(db, caller.account_id, key, hashlib.sha256(said.encode()).digest(), first_step)
    if first != first_step:
        raise Replayed(first)
