"""The engine of one worker process: fills its slots with the most urgent jobs, keeps their leases, rescues others'.

It is woken by tickets and by its own sweep, so that it works, a little later, with Redis away.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from service import __version__
from service.domain.errors import Transient
from service.domain.job import Control
from service.store import claims, workers
from service.store.claims import Claim, Held
from service.store.database import UNREACHABLE, Connection
from workers import helping
from workers.duties import SPREAD, clocks_of
from workers.load import Meter, host_load
from workers.maintenance import promote, rescue, run_schedules
from workers.runner import Run
from workers.tools import Tools, worker_name

log = structlog.get_logger()

BEATS_PER_LEASE = 3.3

MOST_AT_ONCE = 100
"""Jobs taken in one claim."""

IDLE_S = 0.5
"""From the start, or one look to the next, until a worker with nothing to do gets ready for files."""

MOST_AVOIDED = 1000
"""Jobs remembered as ones that this worker cannot help with."""

TOLD_S = 5
"""How often a worker tells how busy it is."""

LET_GO_S = 8
"""How long jobs may take to stop at shutdown: one chunk dropped, one short transaction."""


class Engine:
    """Slots, leases and clocks. Cancel `run` to stop: what it holds then goes back to the queue.

    `freed` is set when a job has ended that others wait for.
    """

    def __init__(self, tools: Tools, queues: Sequence[str], freed: asyncio.Event) -> None:
        self._tools = tools
        self._queues = queues
        self._running: dict[Held, Run] = {}
        self._helping: set[asyncio.Task[bool]] = set()
        self._unfit: set[Held] = set()  # jobs that we cannot help with
        self._busy: Counter[str] = Counter()  # slots taken, by queue
        self._settling: Counter[str] = Counter()  # jobs whose work is over and whose end is being written, by queue
        self._awaited: set[str] = set()  # queues to look into
        self._woken = asyncio.Event()
        self._asked = asyncio.Event()
        self._freed = freed
        self.name = worker_name()
        self._meter = Meter()

    def free_slots(self, queue: str) -> int:
        """How many more jobs of a queue it would take right now.

        One whose end is being written takes no slot, so that the next is claimed meanwhile; unless they pile up.
        """
        slots = self._slots(queue)
        return slots - self._busy[queue] - max(0, self._settling[queue] - slots)

    def _slots(self, queue: str) -> int:
        settings = self._tools.settings
        return settings.io_slots if queue == "io" else settings.worker_slots

    def wake(self, *queues: str) -> None:
        """Look for work now, in these queues or in all."""
        self._awaited.update(queues or self._queues)
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; then let go of every job within a few seconds."""
        settings = self._tools.settings
        try:
            async with asyncio.TaskGroup() as clocks:
                clocks.create_task(every(0, self._fill_when_woken))
                clocks.create_task(every(settings.sweep_s, self._sweep))
                clocks.create_task(every(settings.lease_s / BEATS_PER_LEASE, self._beat))
                clocks.create_task(every(0, self._beat_when_asked))
                clocks.create_task(every(0, self._promote_when_freed))
                clocks.create_task(every(settings.sweep_s, self._run_schedules))
                clocks.create_task(every(TOLD_S, self._tell))
                clocks.create_task(self._warm_up())
                for period_s, duty in clocks_of(self._tools):
                    clocks.create_task(every(period_s, duty, spread=SPREAD))
        finally:
            await self._let_go()
            await self._leave()

    async def _warm_up(self) -> None:
        """Get ready for files once there is time for it; who has one before waits for that."""
        while True:
            await asyncio.sleep(IDLE_S)
            if not self._running:
                self._tools.sandboxes.warm_up()
                return

    async def _fill_when_woken(self) -> None:
        """On one connection while it lives: to open another and plan a claim there takes longer than many claims."""
        async with self._tools.database.connection() as db:
            while True:
                await self._woken.wait()
                if db.is_closed():
                    return  # to begin anew with another
                self._woken.clear()  # before the look: what comes during it is not missed
                while self._awaited:
                    await self._fill(db, self._awaited.pop())

    async def _fill(self, db: Connection, queue: str) -> None:
        while (free := min(self.free_slots(queue), MOST_AT_ONCE)) > 0:
            claimed = await self._claim(db, queue, free)
            for claim in claimed:
                self._start(claim, queue)
            self._tools.bus.notify(*(claim.changed for claim in claimed))
            if len(claimed) < free:
                await self._help(queue)
                return
            # Nothing was awaited since: the next claim is on its way before these jobs run.

    async def _help(self, queue: str) -> None:
        """Nothing waits: read along in another worker's job, if there is one to share."""
        if len(self._unfit) > MOST_AVOIDED:
            self._unfit.clear()
        if self.free_slots(queue) > 0 and (claim := await helping.find(self._tools, queue, self._unfit)):
            task = asyncio.create_task(helping.run(self._tools, claim, queue), name=f"help {claim.job_id}")
            self._helping.add(task)
            self._busy[queue] += 1
            task.add_done_callback(lambda task: self._helped(task, claim, queue))

    async def _claim(self, db: Connection, queue: str, most: int) -> list[Claim]:
        settings = self._tools.settings
        return await claims.claim(db, queue, self.name, lease_s=settings.lease_s, most=most, ageing_s=settings.ageing_s)

    async def _sweep(self) -> None:
        await rescue.run_once(self._tools.database, self._tools.bus)
        await self._promote()
        self.wake()

    async def _beat(self) -> None:
        if not (held := dict(self._running)):
            return
        async with self._tools.database.connection() as db:
            ours = await claims.extend_leases(db, list(held), self._tools.settings.lease_s)
        for key, run in held.items():
            if key not in ours or ours[key] in (Control.PAUSE, Control.CANCEL):
                run.interrupt()

    def hear(self, job_id: str) -> None:
        """A user wants something of a job: if it runs here, look at once."""
        if any(str(running) == job_id for running, _ in self._running):
            self._asked.set()

    async def _beat_when_asked(self) -> None:
        await self._asked.wait()
        self._asked.clear()
        await self._beat()

    async def _tell(self) -> None:
        """How busy this worker is, for those who watch."""
        cpu, rss_bytes = await asyncio.to_thread(self._meter.read)
        queues = {queue: {"slots": self._slots(queue), "used": self._busy[queue]} for queue in self._queues}
        async with self._tools.database.connection() as db:
            await workers.seen(db, self.name, __version__, workers.Load(queues, cpu, rss_bytes, host_load()))

    async def _leave(self) -> None:
        with suppress(Transient, *UNREACHABLE):
            async with asyncio.timeout(1), self._tools.database.connection() as db:
                await workers.gone(db, self.name)

    async def _promote_when_freed(self) -> None:
        await self._freed.wait()
        self._freed.clear()
        await self._promote()

    async def _promote(self) -> None:
        if await promote.run_once(self._tools.database, self._tools.bus):
            self.wake()

    async def _run_schedules(self) -> None:
        if await run_schedules.run_once(self._tools.database, self._tools.bus):
            self.wake()

    def _start(self, claim: Claim, queue: str) -> None:
        run = self._running[claim.held] = Run(self._tools, claim, lambda: self._worked(queue))
        self._busy[queue] += 1
        run.task.add_done_callback(lambda task: self._ended(task, claim, queue))

    def _worked(self, queue: str) -> None:
        self._busy[queue] -= 1
        self._settling[queue] += 1
        self.wake(queue)

    def _ended(self, task: asyncio.Task[None], claim: Claim, queue: str) -> None:
        del self._running[claim.held]
        self._settling[queue] -= 1
        if not task.cancelled() and (error := task.exception()):
            log.error("job.dropped", job_id=str(claim.job_id), error=repr(error))
        self.wake(queue)

    def _helped(self, task: asyncio.Task[bool], claim: Claim, queue: str) -> None:
        self._helping.discard(task)
        self._busy[queue] -= 1
        if not task.cancelled() and (task.exception() or not task.result()):
            self._unfit.add(claim.held)
        self.wake(queue)

    async def _let_go(self) -> None:
        runs, helping = list(self._running.values()), list(self._helping)
        for run in runs:
            run.interrupt()
        for help_ in helping:
            help_.cancel()
        if tasks := [run.task for run in runs] + helping:
            await asyncio.wait(tasks, timeout=LET_GO_S)


async def every(pause_s: float, duty: Callable[[], Awaitable[object]], spread: float = 0) -> None:
    """Do a duty for ever; a database that is away only delays it. `spread` is the share by which pauses differ."""
    task = asyncio.current_task()
    assert task is not None
    await asyncio.sleep(random.uniform(0, spread * pause_s))
    while not task.cancelling():  # an error may have taken the place of the cancellation
        try:
            await duty()
        except (Transient, *UNREACHABLE) as error:
            log.warning("database.away", duty=duty.__name__, error=repr(error))
            await asyncio.sleep(0.5)
        except Exception:
            log.exception("duty.broke", duty=duty.__name__)
            await asyncio.sleep(1)
        await asyncio.sleep(pause_s * random.uniform(1 - spread, 1 + spread))
