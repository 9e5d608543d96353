"""Runs one claimed job: do its work, commit each step of it under the fence, settle the outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import structlog

from service.domain.dataset import columns_to_json
from service.domain.errors import InputError, Transient
from service.domain.job import Control, State
from service.domain.processor import Processor
from service.store import claims
from service.store.claims import Claim, LeaseLost, Settlement
from service.store.database import CLASHED, UNREACHABLE
from workers import landing, outcome, references
from workers.committer import Committer, Interrupted
from workers.tasks import work
from workers.tools import Tools

log = structlog.get_logger()

SETTLE_PATIENCE_S = 60
TAKE_BACK_DEADLINE_S = 600
"""A cancel may have many rows to take back."""


class Run:
    """A claimed job on its way. `interrupt` breaks off its attempt, never the settling: what was done is recorded."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self.claim = claim
        self._tools = tools
        self._attempt = asyncio.create_task(run_attempt(tools, claim), name=f"job {claim.job_id}")
        self.task = asyncio.create_task(self._to_its_end())

    def interrupt(self) -> None:
        """The lease is lost, the user wants something else of the job, or the worker stops."""
        if not self._attempt.cancelling():  # once: a second one would break off the clearing up
            self._attempt.cancel()

    async def _to_its_end(self) -> None:
        claim = self.claim
        try:
            try:
                settlement = await self._attempt
            except (Interrupted, asyncio.CancelledError):
                settlement = await wished(self._tools, claim)
            await settle(self._tools, claim, settlement)
        except (LeaseLost, Transient, *UNREACHABLE) as error:
            # With the database away the lease runs out, and another worker goes on.
            log.warning("job.not_settled", job_id=str(claim.job_id), epoch=claim.epoch, error=repr(error))


async def run_attempt(tools: Tools, claim: Claim) -> Settlement:
    """Work on the job until its end; how it ended, whatever went wrong. Raises LeaseLost, Interrupted."""
    committer = Committer(tools, claim)
    try:
        if claim.control in (Control.PAUSE, Control.CANCEL):
            raise Interrupted
        if claim.control is Control.RESTART:
            claim = await restart(tools, claim)
        claim = await references.resolve(tools, claim)
        processor = processor_of(tools, claim)
        if processor.run is not None:
            return await work(tools, claim, processor)
        await read_file(tools, claim, processor, committer)
    except (LeaseLost, Interrupted):
        raise
    except Exception as error:
        settlement = outcome.of(error, claim.attempt, claim.retry, progressed=committer.rows > 0)
        if settlement.problem and "incident" in settlement.problem:
            log.exception("job.broke", job_id=str(claim.job_id), incident=settlement.problem["incident"])
        return settlement
    return outcome.DONE


async def wished(tools: Tools, claim: Claim) -> Settlement:
    """What becomes of an attempt that was interrupted: what its user asked for, or back to the queue."""
    async with tools.database.connection() as db:
        control, _ = await claims.wish(db, claim)
    return outcome.INTERRUPTED[control]


async def restart(tools: Tools, claim: Claim) -> Claim:
    """Take back what earlier attempts stored; the claim as it is then."""
    async with tools.database.transaction() as db:
        await landing.take_back(db, claim)
    return replace(claim, cursor=None, read=0, control=None)


def processor_of(tools: Tools, claim: Claim) -> Processor:
    """What the job is to be done by. Raises InputError if this worker does not have it."""
    if (processor := tools.processors.get(claim.processor)) is None:
        raise InputError(
            "unknown_processor",
            f"The worker has no processor {claim.processor!r}.",
            suggestion="Run workers of the same version, with the same plugins, as the API.",
        )
    return processor


async def read_file(tools: Tools, claim: Claim, processor: Processor, committer: Committer) -> None:
    """Read on from the job's checkpoint to the end of its input, chunk by chunk."""
    assert claim.upload_id is not None
    path = tools.files.path(claim.upload_id)
    if not path.exists():
        raise InputError("file_missing", "The uploaded file is no longer there.", suggestion="Upload it again.")
    place = await landing.begin(tools.database, claim, landing.options_of(processor, claim))
    claim = place.claim
    order = request(claim, path.stat().st_size, tools.settings.chunk_bytes)
    async with tools.sandboxes.open(path, order, claim.retry.deadline_s) as child:
        await committer.commit_all(child, place)
        await committer.summarize()


async def settle(tools: Tools, claim: Claim, settlement: Settlement) -> None:
    """Record how the attempt ended, as soon as the database takes it, then tell. Raises LeaseLost."""
    give_up_at = time.monotonic() + SETTLE_PATIENCE_S
    while True:
        try:
            settlement = await record(tools, claim, settlement)
            break
        except (Transient, CLASHED, *UNREACHABLE):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.5)
    log.info(settlement.event, job_id=str(claim.job_id), processor=claim.processor, attempt=claim.attempt)


async def record(tools: Tools, claim: Claim, settlement: Settlement) -> Settlement:
    """Write the settlement, or what its user wants instead by now; returns which. Raises LeaseLost.

    A cancel that takes the rows back does so in the same transaction, and so does a replace that shows its rows.
    """
    is_shown = settlement.state is State.COMPLETED and claim.options.get("mode") == "replace"
    if settlement.state in (State.COMPLETED, State.FAILED) and not is_shown:
        await tools.settler.settle(claim, settlement)
        return settlement
    async with asyncio.timeout(TAKE_BACK_DEADLINE_S), tools.database.transaction() as db:
        if is_shown:
            await landing.finish(db, claim)
        else:
            control, remove_rows = await claims.wish(db, claim)
            settlement = outcome.obeying(settlement, control)
            if settlement.state is State.CANCELLED and remove_rows:
                await landing.take_back(db, claim)
        settled = await claims.settle(db, [(claim, settlement)])
        if not settled:
            raise LeaseLost
    await tools.settler.tell([claim], settled)
    return settlement


def request(claim: Claim, total: int, chunk_bytes: int) -> dict[str, object]:
    """What the child is asked to do."""
    return {
        "processor": claim.processor,
        "job_id": str(claim.job_id),
        "total": total,
        "options": claim.options,
        "cursor": claim.cursor,
        "columns": None if claim.columns is None else columns_to_json(claim.columns),
        "chunk_bytes": chunk_bytes,
    }
