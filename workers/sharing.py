"""One large file read by several: children of the worker that runs the job, and of others that have nothing else to do.

The worker that runs the job cuts the file into ranges, while they are read already, and ends it when all of them are
done. Everybody takes ranges from the ledger (`service.store.ranges`), the first that is free, and commits their chunks
in order. Who dies loses its range to another one; who loses the job itself can commit nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from service.domain.errors import InputError, Transient
from service.domain.processor import Cut, Processor
from service.store import ranges
from service.store.claims import Claim
from service.store.database import UNREACHABLE
from service.store.ranges import Range, RangeLost
from workers import landing as landings
from workers import requests, retyping
from workers.committer import Committer, Interrupted, Pace, first_cause
from workers.inputs import Input
from workers.landing import Landing
from workers.sandbox import ProcessorCrashed, Sandbox
from workers.tools import Tools, worker_name

log = structlog.get_logger()

BEATS_PER_LEASE = 3.3
LONGEST_BEAT_S = 0.8
"""So that who helps hears of a pause or cancel within a second."""

LOOK_S = 0.2
"""How often one who has no range looks for one."""


def divide_before(tools: Tools, processor: Processor, landing: Landing, file: Input) -> int:
    """Up to where it is worth while to divide what is left of the file; 0 if it cannot be."""
    if processor.cuts is None or not landing.is_any_order:
        return 0
    return file.size_bytes - 2 * tools.settings.range_bytes


async def has_ranges(tools: Tools, claim: Claim) -> bool:
    """Whether the job was divided by an earlier attempt; its ranges are free then."""
    if claim.cursor is None:
        return False
    async with tools.database.transaction() as db:
        return await ranges.resume(db, claim)


async def divide(tools: Tools, claim: Claim) -> None:
    """Make a ledger for what is left of a job that has a checkpoint. Raises LeaseLost."""
    async with tools.database.transaction() as db:
        await ranges.begin(db, claim)


async def lead(tools: Tools, landing: Landing, file: Input, pace: Pace) -> None:
    """Cut the file and read it to its end, with whoever helps. Raises LeaseLost, Interrupted, or a reader's failure."""
    widens = await retyping.permission(tools.database, landing.claim)
    crew = Crew(tools, landing, file, pace, widens)
    try:
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(crew.beat())
            async with asyncio.TaskGroup() as readers:
                readers.create_task(crew.cut())
                for _ in range(tools.settings.children):
                    readers.create_task(crew.read_to_the_end())
            beat.cancel()
    except BaseExceptionGroup as failures:
        raise first_cause(failures) from failures


async def help_with(tools: Tools, claim: Claim, file: Input, queue: str) -> None:
    """Read ranges of another worker's job until none is free or a job waits in the queue. Raises as `lead` does."""
    options = landings.options_of(tools.processors[claim.processor], claim)
    landing = await landings.join(tools.database, claim, options)
    widens = await retyping.permission(tools.database, claim)
    crew = Crew(tools, landing, file, Pace(), widens, unless_waits=queue)
    try:
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(crew.beat())
            await crew.read_what_is_free()
            beat.cancel()
    except BaseExceptionGroup as failures:
        raise first_cause(failures) from failures
    finally:
        await crew.release()


class Crew:
    """Those in this process who read one job's ranges."""

    def __init__(
        self,
        tools: Tools,
        landing: Landing,
        file: Input,
        pace: Pace,
        widens: Mapping[str, Any] | None,
        unless_waits: str | None = None,
    ) -> None:
        self._tools = tools
        self._claim = landing.claim
        self._landing = landing
        # A share of cells that do not fit is of the rows so far, which nobody knows here: only values widen.
        self._widens = None if widens is None else {**widens, "misfits": {}}
        self._file = file
        self._pace = pace
        self._unless_waits = unless_waits
        self._held: dict[int, Range] = {}

    async def cut(self) -> None:
        """Cut what is still to be cut, at the rate at which it is found."""
        tools, claim = self._tools, self._claim
        async with tools.database.connection() as db:
            last = await ranges.uncut(db, claim.job_id)
        if last is None:
            return
        order = requests.cuts(claim, self._file, tools.settings, last)
        ordinal = last.ordinal
        try:
            async with tools.sandboxes.open(self._file.source, order, claim.retry.deadline_s) as child:
                async for frame in child.frames():
                    async with tools.database.transaction() as db:
                        ordinal = await ranges.cut(db, claim, ordinal, Cut(**frame.fields))
                    await tools.bus.ring(tools.processors[claim.processor].queue)  # there is something to help with
        except (InputError, ProcessorCrashed) as error:
            # Whoever reads that part tells what is wrong with it.
            log.warning("job.not_cut", job_id=str(claim.job_id), error=repr(error))
        async with tools.database.transaction() as db:
            await ranges.close(db, claim)

    async def read_to_the_end(self) -> None:
        """Take range after range until all are done, whoever does them."""
        while await self._left():
            if not await self.read_what_is_free():
                await asyncio.sleep(LOOK_S)

    async def read_what_is_free(self) -> bool:
        """Take range after range until none is free; whether there was one."""
        if (taken := await self._take()) is None:
            return False
        order = self._order(taken)
        with suppress(RangeLost):  # we were too slow; another one reads on from where we were
            async with self._tools.sandboxes.open(self._file.source, order, self._claim.retry.deadline_s) as child:
                await self._read(child, taken)
                while (taken := await self._take()) is not None:
                    child.ask(self._order(taken))
                    await self._read(child, taken)
        return True

    async def beat(self) -> None:
        """Keep the leases, for ever. Who helps is interrupted when the job is no longer to be run."""
        lease_s = self._tools.settings.lease_s
        while True:
            await asyncio.sleep(min(lease_s / BEATS_PER_LEASE, LONGEST_BEAT_S))
            if not self._held:
                continue
            with suppress(Transient, *UNREACHABLE):
                async with self._tools.database.connection() as db:
                    goes_on = await ranges.extend_leases(db, self._claim, self._held.values(), lease_s)
                if not goes_on and self._unless_waits is not None:
                    raise Interrupted

    async def release(self) -> None:
        """Give back what is still held, if the database can be reached."""
        with suppress(Transient, *UNREACHABLE):
            async with self._tools.database.connection() as db:
                for taken in self._held.values():
                    await ranges.release(db, self._claim, taken)

    async def _left(self) -> bool:
        async with self._tools.database.connection() as db:
            return await ranges.left(db, self._claim.job_id) > 0

    async def _take(self) -> Range | None:
        settings = self._tools.settings
        async with self._tools.database.transaction() as db:
            taken = await ranges.take(db, self._claim, worker_name(), settings.lease_s, unless_waits=self._unless_waits)
        if taken is not None:
            self._held[taken.ordinal] = taken
        return taken

    async def _read(self, child: Sandbox, taken: Range) -> None:
        committer = Committer(self._tools, self._claim, self._pace, taken)
        try:
            await committer.commit_all(child, self._landing)
            async with self._tools.database.transaction() as db:
                await ranges.finish(db, self._claim, taken)
        except RangeLost:
            del self._held[taken.ordinal]
            raise
        del self._held[taken.ordinal]
        await committer.summarize()

    def _order(self, taken: Range) -> requests.Request:
        return requests.chunks(self._claim, self._file, self._tools.settings, taken, self._widens)
