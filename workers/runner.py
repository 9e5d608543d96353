"""Runs one claimed job: read its file in a child, commit each chunk under the fence, settle the outcome."""

from __future__ import annotations

import asyncio

import structlog

from service.domain.dataset import columns_to_json
from service.domain.errors import InputError, Transient
from service.store import jobs
from service.store.database import UNREACHABLE
from service.store.jobs import Claim, LeaseLost
from workers import outcome
from workers.committer import Committer
from workers.tools import Tools

log = structlog.get_logger()

SETTLE_DEADLINE_S = 30


async def run_job(tools: Tools, claim: Claim) -> None:
    """Take a claimed job to its next state. Whatever goes wrong inside becomes an outcome here."""
    settlement = outcome.DONE
    try:
        await attempt(tools, claim)
    except LeaseLost:
        log.warning("job.lease_lost", job_id=str(claim.job_id), epoch=claim.epoch)
        return
    except (Exception, asyncio.CancelledError) as error:
        settlement = outcome.of(error, claim.attempt, claim.max_attempts)
        if settlement.problem and "incident" in settlement.problem:
            log.exception("job.broke", job_id=str(claim.job_id), incident=settlement.problem["incident"])
    await settle(tools, claim, settlement)


async def attempt(tools: Tools, claim: Claim) -> None:
    """Read on from the job's checkpoint to the end of its input, chunk by chunk."""
    assert claim.upload_id is not None
    path = tools.files.path(claim.upload_id)
    if not path.exists():
        raise InputError("file_missing", "The uploaded file is no longer there.", suggestion="Upload it again.")
    order = request(claim, path.stat().st_size, tools.settings.chunk_bytes)
    async with tools.sandboxes.open(path, order) as child:
        committer = Committer(tools, claim)
        await committer.commit_all(child)
        await committer.summarize()


async def settle(tools: Tools, claim: Claim, settlement: outcome.Settlement) -> None:
    """Record how the attempt ended, then tell. With the database away the lease runs out and another worker goes on."""
    try:
        async with asyncio.timeout(SETTLE_DEADLINE_S), tools.database.transaction() as db:
            await jobs.settle(
                db,
                claim,
                settlement.state,
                settlement.event,
                problem=settlement.problem,
                costs_attempt=settlement.costs_attempt,
                wait_s=settlement.wait_s,
            )
    except (LeaseLost, Transient, *UNREACHABLE) as error:
        log.warning("job.not_settled", job_id=str(claim.job_id), epoch=claim.epoch, error=repr(error))
        return
    log.info(settlement.event, job_id=str(claim.job_id), processor=claim.processor, attempt=claim.attempt)
    await tools.bus.notify(claim.job_id)


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
