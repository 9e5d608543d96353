"""Runs one claimed job: read its file in a child, commit each chunk under the fence, settle the outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import structlog

from service.domain.dataset import columns_to_json
from service.domain.errors import InputError, Transient
from service.domain.job import Control, State
from service.store import datasets, jobs
from service.store.database import UNREACHABLE, Connection
from service.store.jobs import Claim, LeaseLost
from workers import outcome
from workers.committer import Committer, Interrupted
from workers.tools import Tools

log = structlog.get_logger()

SETTLE_PATIENCE_S = 60
SETTLE_DEADLINE_S = 600
"""A cancel may have many rows to take back."""


async def run_job(tools: Tools, claim: Claim) -> None:
    """Take a claimed job to its next state. Whatever goes wrong inside becomes an outcome here."""
    try:
        settlement = await run_attempt(tools, claim)
        await settle(tools, claim, settlement)
    except (LeaseLost, Transient, *UNREACHABLE) as error:
        # With the database away the lease runs out, and another worker goes on.
        log.warning("job.not_settled", job_id=str(claim.job_id), epoch=claim.epoch, error=repr(error))


async def run_attempt(tools: Tools, claim: Claim) -> outcome.Settlement:
    """Run the job until it ends or is interrupted; how it ended. Raises LeaseLost."""
    committer = Committer(tools, claim)
    try:
        if claim.control in (Control.PAUSE, Control.CANCEL):
            return await wished(tools, claim)
        if claim.control is Control.RESTART:
            claim = await restart(tools, claim)
        await attempt(tools, claim, committer)
    except LeaseLost:
        raise
    except (Interrupted, asyncio.CancelledError):
        return await wished(tools, claim)
    except Exception as error:
        settlement = outcome.of(error, claim.attempt, claim.max_attempts, progressed=committer.rows > 0)
        if settlement.problem and "incident" in settlement.problem:
            log.exception("job.broke", job_id=str(claim.job_id), incident=settlement.problem["incident"])
        return settlement
    return outcome.DONE


async def wished(tools: Tools, claim: Claim) -> outcome.Settlement:
    """What becomes of an attempt that was interrupted: what its user asked for, or back to the queue."""
    async with tools.database.connection() as db:
        control, _ = await jobs.wish(db, claim)
    return outcome.INTERRUPTED[control]


async def restart(tools: Tools, claim: Claim) -> Claim:
    """Take back what earlier attempts stored; the claim as it is then."""
    async with tools.database.transaction() as db:
        await take_back(db, claim)
    return replace(claim, cursor=None, read=0, control=None)


async def take_back(db: Connection, claim: Claim) -> None:
    """Rows, rejects and counts of the job, as if it had never run."""
    await jobs.reset(db, claim)
    if claim.table_name and claim.columns is not None:
        await datasets.remove_rows(db, claim.table_name, claim.job_id)


async def attempt(tools: Tools, claim: Claim, committer: Committer) -> None:
    """Read on from the job's checkpoint to the end of its input, chunk by chunk."""
    assert claim.upload_id is not None
    path = tools.files.path(claim.upload_id)
    if not path.exists():
        raise InputError("file_missing", "The uploaded file is no longer there.", suggestion="Upload it again.")
    order = request(claim, path.stat().st_size, tools.settings.chunk_bytes)
    async with tools.sandboxes.open(path, order) as child:
        await committer.commit_all(child)
        await committer.summarize()


async def settle(tools: Tools, claim: Claim, settlement: outcome.Settlement) -> None:
    """Record how the attempt ended, as soon as the database takes it, then tell. Raises LeaseLost."""
    give_up_at = time.monotonic() + SETTLE_PATIENCE_S
    while True:
        try:
            settlement = await record(tools, claim, settlement)
            break
        except (Transient, *UNREACHABLE):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.5)
    log.info(settlement.event, job_id=str(claim.job_id), processor=claim.processor, attempt=claim.attempt)
    await tools.bus.notify(claim.job_id)


async def record(tools: Tools, claim: Claim, settlement: outcome.Settlement) -> outcome.Settlement:
    """Write the settlement, or what its user wants instead by now; returns which.

    A cancel that takes the rows back does so in the same transaction.
    """
    async with asyncio.timeout(SETTLE_DEADLINE_S), tools.database.transaction() as db:
        if settlement.state not in (State.COMPLETED, State.FAILED):
            control, remove_rows = await jobs.wish(db, claim)
            settlement = outcome.obeying(settlement, control)
            if settlement.state is State.CANCELLED and remove_rows:
                await take_back(db, claim)
        await jobs.settle(
            db,
            claim,
            settlement.state,
            settlement.event,
            problem=settlement.problem,
            costs_attempt=settlement.costs_attempt,
            wait_s=settlement.wait_s,
        )
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
