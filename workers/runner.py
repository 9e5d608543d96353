"""Runs one claimed job: read the file in a child, commit each chunk under the fence, settle the outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from service.bus import Bus
from service.config import Settings
from service.domain.dataset import columns_from_json, columns_to_json
from service.domain.errors import InputError, Transient
from service.domain.processor import Column, Reject
from service.files.local import LocalFiles
from service.store import datasets, jobs, rejects
from service.store.database import UNREACHABLE, Connection, Database
from service.store.jobs import Claim, LeaseLost
from workers import outcome
from workers.frames import Frame
from workers.sandbox import open_sandbox

log = structlog.get_logger()

COMMIT_DEADLINE_S = 60
"""asyncpg's COPY does not notice a dead server by itself."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What running a job needs."""

    settings: Settings
    database: Database
    files: LocalFiles
    bus: Bus


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
    settings = tools.settings
    pace = Pace(time.monotonic())
    async with open_sandbox(
        path,
        request(claim, path.stat().st_size, settings.chunk_bytes),
        memory_bytes=settings.child_memory_bytes,
        cpu_s=settings.child_cpu_s,
        deadline_s=settings.chunk_deadline_s,
    ) as child:
        shaped = claim.columns is not None
        async for frame in child.frames():
            await commit_chunk(tools, claim, frame, child.payload(frame), pace, shaped)
            shaped = True
            await tools.bus.notify(claim.job_id)


async def commit_chunk(
    tools: Tools, claim: Claim, frame: Frame, payload: AsyncIterator[bytes], pace: Pace, shaped: bool
) -> None:
    """Rows, rejects, checkpoint, counts and event in one transaction. Raises LeaseLost: nothing is written then."""
    fields = frame.fields
    columns = columns_from_json(fields["columns"])
    async with asyncio.timeout(COMMIT_DEADLINE_S), tools.database.transaction() as db:
        table = claim.table_name if shaped else await shape(db, claim, columns)
        assert table is not None
        if frame.payload_bytes:
            await datasets.copy_rows(db, table, columns, payload)
        await rejects.add(db, claim.job_id, claim.account_id, [Reject(**r) for r in fields["rejects"]])
        await jobs.advance(
            db,
            claim,
            cursor=fields["cursor"],
            done=fields["done"],
            read=fields["read"],
            inserted=fields["inserted"],
            rejected=len(fields["rejects"]),
            rate=pace.rate(fields["read"]),
        )


async def shape(db: Connection, claim: Claim, columns: tuple[Column, ...]) -> str:
    """Give the dataset its table with the first chunk; returns the table's name."""
    assert claim.dataset_id is not None
    dataset = await datasets.lock(db, claim.dataset_id)
    if dataset.columns is None:
        await datasets.create_table(db, dataset, columns)
    elif dataset.columns != columns:
        raise Transient("busy", "Another job gave this dataset its columns first.", retry_after_s=0.1)
    return dataset.table_name


async def settle(tools: Tools, claim: Claim, settlement: outcome.Settlement) -> None:
    """Record how the attempt ended, then tell. With the database away the lease runs out and another worker goes on."""
    try:
        async with asyncio.timeout(COMMIT_DEADLINE_S), tools.database.transaction() as db:
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


class Pace:
    """Rows per second since an attempt began."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._rows = 0

    def rate(self, rows: int) -> float:
        """Count `rows` more and return the rate so far."""
        self._rows += rows
        return round(self._rows / max(time.monotonic() - self._started_s, 1e-3), 1)


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
