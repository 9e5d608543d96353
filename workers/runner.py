"""Runs one claimed job: do its work, commit each step of it under the fence, settle the outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from service.domain.chunk import TooNarrow
from service.domain.errors import InputError, Transient
from service.domain.job import Control, State
from service.domain.processor import PREVIEWS, Processor
from service.domain.tolerance import Tolerance
from service.store import claims, datasets, tables
from service.store.claims import Claim, LeaseLost, Settlement
from service.store.database import CLASHED, UNREACHABLE
from workers import correcting, following, inputs, landing, outcome, previewing, references, requests, retyping, sharing
from workers.committer import Committer, Divided, Interrupted, Pace
from workers.inputs import Input
from workers.landing import Landing
from workers.tasks import work
from workers.tools import Tools

log = structlog.get_logger()

SETTLE_PATIENCE_S = 60
TAKE_BACK_DEADLINE_S = 600
"""A cancel may have many rows to take back."""


class Run:
    """A claimed job on its way. `interrupt` breaks off its attempt, never the settling: what was done is recorded.

    `worked` is called when the work is over and only its end is left to be written.
    """

    def __init__(self, tools: Tools, claim: Claim, worked: Callable[[], None]) -> None:
        self.claim = claim
        self._tools = tools
        self._worked = worked
        self._is_interrupted = False
        self._is_attempting = False
        self._pace = Pace()
        self.task = asyncio.create_task(self._to_its_end())

    def interrupt(self) -> None:
        """The lease is lost, the user wants something else of the job, or the worker stops."""
        if self._is_attempting and not self._is_interrupted:  # once: a second one would break off the clearing up
            self.task.cancel()
        self._is_interrupted = True

    async def _to_its_end(self) -> None:
        claim = self.claim
        try:
            try:
                settlement = await self._attempted() or await wished(self._tools, claim)
            finally:
                self._worked()
            await settle(self._tools, claim, settlement)
            if claim.queue == PREVIEWS:
                await previewing.clear(self._tools, claim)
            elif self._pace.rows and not self._is_interrupted:
                await index_rows(self._tools, claim)
        except (LeaseLost, Transient, *UNREACHABLE) as error:
            # With the database away the lease runs out, and another worker goes on.
            log.warning("job.not_settled", job_id=str(claim.job_id), epoch=claim.epoch, error=repr(error))

    async def _attempted(self) -> Settlement | None:
        """How the attempt ended; None if it was interrupted."""
        if self._is_interrupted:  # before it began
            return None
        self._is_attempting = True
        try:
            return await run_attempt(self._tools, self.claim, self._pace)
        except Interrupted:
            return None
        except asyncio.CancelledError:
            self.task.uncancel()
            return None
        finally:
            self._is_attempting = False


async def run_attempt(tools: Tools, claim: Claim, pace: Pace) -> Settlement:
    """Work on the job until its end; how it ended, whatever went wrong. Raises LeaseLost, Interrupted."""
    try:
        if claim.control in (Control.PAUSE, Control.CANCEL):
            raise Interrupted
        if claim.control is Control.RESTART:
            claim = await restart(tools, claim)
        claim = await references.resolve(tools, claim)
        processor = processor_of(tools, claim)
        if processor.run is not None:
            return await work(tools, claim, processor)
        if claim.queue == PREVIEWS:
            return await look(tools, claim, processor)
        await read_file(tools, claim, processor, pace)
    except (LeaseLost, Interrupted):
        raise
    except TooNarrow as found:
        await retyping.start_over(tools.database, claim, found)
        return outcome.RELEASED
    except Exception as error:
        settlement = outcome.of(error, claim.attempt, claim.retry, progressed=pace.rows > 0)
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
    return claim._replace(cursor=None, read=0, control=None)


def processor_of(tools: Tools, claim: Claim) -> Processor:
    """What the job is to be done by. Raises InputError if this worker does not have it."""
    if (processor := tools.processors.get(claim.processor)) is None:
        raise InputError(
            "unknown_processor",
            f"The worker has no processor {claim.processor!r}.",
            suggestion="Run workers of the same version, with the same plugins, as the API.",
        )
    return processor


async def look(tools: Tools, claim: Claim, processor: Processor) -> Settlement:
    """Do a preview."""
    async with inputs.source_of(tools, claim) as file:
        order = requests.chunks(claim, file, tools.settings)
        return await previewing.preview(tools, claim, processor, order, file)


async def read_file(tools: Tools, claim: Claim, processor: Processor, pace: Pace) -> None:
    """Read on from the job's checkpoint to the end of its input: in order, or in ranges where others read as well."""
    async with inputs.source_of(tools, claim) as file:
        await check_rejects(tools, claim, is_all=False)  # of the attempts before
        place = await landing.begin(tools.database, claim, landing.options_of(processor, claim))
        claim = place.claim
        if claim.corrects_id is not None:
            order = requests.chunks(claim, file, tools.settings) | await correcting.order(tools, claim)
            async with tools.sandboxes.open(file.source, order, claim.retry.deadline_s) as child:
                await correcting.commit_all(tools, claim, child)
            return
        if await sharing.has_ranges(tools, claim) or await read_in_order(tools, processor, place, file, pace):
            await sharing.lead(tools, place, file, pace)
        await check_rejects(tools, claim, is_all=True)
        await following.queue(tools, claim, processor)


async def read_in_order(tools: Tools, processor: Processor, place: Landing, file: Input, pace: Pace) -> bool:
    """Read one chunk after the other, to the end or until others would read as well; whether it is that."""
    claim = place.claim
    committer = Committer(tools, claim, pace)
    committer.divide_before = sharing.divide_before(tools, processor, place, file)
    widens = await retyping.permission(tools.database, claim)
    order = requests.chunks(claim, file, tools.settings, widens=widens)
    try:
        async with tools.sandboxes.open(file.source, order, claim.retry.deadline_s) as child:
            await committer.commit_all(child, place)
    except Divided:
        await sharing.divide(tools, claim)
        return True
    return False


async def check_rejects(tools: Tools, claim: Claim, *, is_all: bool) -> None:
    """Stop a job that has refused more rows than its options allow. Raises InputError, LeaseLost."""
    if (tolerance := Tolerance.of(claim.options)) == Tolerance():
        return
    async with tools.database.connection() as db:
        read, rejected = await claims.rows_so_far(db, claim)
    tolerance.check(read, rejected, is_all=is_all)


async def index_rows(tools: Tools, claim: Claim) -> None:
    """Let all of the rows be found quickly. Behind the job's end: it is only a help, and takes a while.

    What a worker that dies leaves undone here is done by `maintenance.index_rows`, the next job or PostgreSQL's vacuum.
    """
    assert claim.dataset_id is not None
    with suppress(asyncpg.PostgresError, Transient, *UNREACHABLE):
        async with tools.database.transaction() as db:
            if (table := await datasets.table_of(db, claim.dataset_id)) is not None:
                await tables.index_rows(db, table)


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
    tools.settler.tell([claim], settled)
    return settlement
