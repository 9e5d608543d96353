"""The engine of one worker process: fills its slots with the most urgent jobs, keeps their leases, rescues others'.

It is woken by tickets and by its own sweep, so that it works, a little later, with Redis away.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from service.domain.errors import Transient
from service.domain.job import Control
from service.store import jobs
from service.store.database import UNREACHABLE
from workers.maintenance import promote, rescue, sweep_files
from workers.runner import run_job
from workers.tools import Tools

log = structlog.get_logger()

BEATS_PER_LEASE = 3.3

LET_GO_S = 8
"""How long jobs may take to stop at shutdown: one chunk dropped, one short transaction."""

SWEEP_FILES_S = 600


class Engine:
    """Slots, leases and clocks. Cancel `run` to stop: what it holds then goes back to the queue."""

    def __init__(self, tools: Tools, queues: Sequence[str]) -> None:
        self._tools = tools
        self._queues = queues
        self._running: dict[tuple[UUID, int], asyncio.Task[None]] = {}  # by job id and epoch
        self._woken = asyncio.Event()
        self._asked = asyncio.Event()
        self.name = f"{socket.gethostname()}:{os.getpid()}"

    @property
    def free_slots(self) -> int:
        """How many more jobs it would take right now."""
        return self._tools.settings.worker_slots - len(self._running)

    def wake(self) -> None:
        """Look for work now."""
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
                clocks.create_task(every(SWEEP_FILES_S, self._sweep_files))
        finally:
            await self._let_go()

    async def _fill_when_woken(self) -> None:
        await self._woken.wait()
        self._woken.clear()  # before the look: what comes during it is not missed
        for queue in self._queues:
            while self.free_slots > 0 and (claim := await self._claim(queue)):
                self._start(claim)

    async def _claim(self, queue: str) -> jobs.Claim | None:
        async with self._tools.database.transaction() as db:
            return await jobs.claim(db, queue, self.name, self._tools.settings.lease_s)

    async def _sweep(self) -> None:
        await rescue.run_once(self._tools.database, self._tools.bus)
        await promote.run_once(self._tools.database, self._tools.bus)
        self.wake()

    async def _beat(self) -> None:
        if not (held := dict(self._running)):
            return
        async with self._tools.database.connection() as db:
            ours = await jobs.extend_leases(db, list(held), self._tools.settings.lease_s)
        for key, task in held.items():
            unwanted = key not in ours or ours[key] in (Control.PAUSE, Control.CANCEL)
            if unwanted and not task.cancelling():  # once: a second one would break off the settling
                task.cancel()

    def hear(self, job_id: str) -> None:
        """A user wants something of a job: if it runs here, look at once."""
        if any(str(running) == job_id for running, _ in self._running):
            self._asked.set()

    async def _beat_when_asked(self) -> None:
        await self._asked.wait()
        self._asked.clear()
        await self._beat()

    async def _sweep_files(self) -> None:
        await sweep_files.run_once(self._tools.database, self._tools.files)

    def _start(self, claim: jobs.Claim) -> None:
        key = (claim.job_id, claim.epoch)
        task = asyncio.create_task(run_job(self._tools, claim), name=f"job {claim.job_id}")
        self._running[key] = task
        task.add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: tuple[UUID, int]) -> None:
        task = self._running.pop(key)
        if not task.cancelled() and (error := task.exception()):
            log.error("job.dropped", job_id=str(key[0]), error=repr(error))
        self.wake()

    async def _let_go(self) -> None:
        if tasks := list(self._running.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LET_GO_S)


async def every(pause_s: float, duty: Callable[[], Awaitable[object]]) -> None:
    """Do a duty for ever; a database that is away only delays it."""
    while True:
        try:
            await duty()
        except (Transient, *UNREACHABLE) as error:
            log.warning("database.away", duty=duty.__name__, error=repr(error))
            await asyncio.sleep(0.5)
        except Exception:
            log.exception("duty.broke", duty=duty.__name__)
            await asyncio.sleep(1)
        await asyncio.sleep(pause_s)
