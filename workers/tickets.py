"""Reads arq tickets. A ticket only says "there is work": the claim in PostgreSQL decides which, and who does it.

arq's own worker polls; this one sleeps until a wake-up, and reads no ticket while the engine has no free slot, so that
another worker takes it. It outlives Redis.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import structlog
from arq.connections import ArqRedis
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from service.bus import AWAY, TICKETS, Bus
from service.dispatch import TICKET, dumps, loads, queue_key
from workers.engine import Engine

log = structlog.get_logger()

IDLE_POLL_S = 5.0
"""A look without a wake-up, for tickets whose wake-up was lost. The engine's own sweep is faster still."""


class TicketReader(Worker):
    """An arq worker for one queue that hands its tickets to the engine."""

    def __init__(self, redis: ArqRedis, queue: str, engine: Engine) -> None:
        super().__init__(
            functions=[func(cast(WorkerCoroutine, self._look), name=TICKET, timeout=30, keep_result=0, max_tries=1)],
            queue_name=queue_key(queue),
            redis_pool=redis,
            handle_signals=False,
            max_jobs=100,
            queue_read_limit=1000,
            retry_jobs=False,
            job_serializer=dumps,
            job_deserializer=loads,
            log_results=False,
        )
        self._queue = queue
        self._engine = engine
        self._woken = asyncio.Event()

    def wake(self, queue: str) -> None:
        """A ticket comes: the engine looks for jobs at once, while the ticket is still on its way."""
        if queue == self._queue:
            self._woken.set()
            self._engine.wake(queue)

    async def main(self) -> None:
        """Instead of arq's polling loop: read when woken, or every few seconds."""
        while True:
            self._woken.clear()
            if self._engine.free_slots(self._queue) > 0:
                await self._poll_iteration()
            try:
                async with asyncio.timeout(IDLE_POLL_S):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _look(self, _ctx: dict[Any, Any], *_job_ids: str) -> None:
        self._engine.wake(self._queue)


async def read_tickets(redis: ArqRedis, bus: Bus, queue: str, engine: Engine) -> None:
    """Read tickets for ever; when Redis goes away, start afresh once it is back."""
    while True:
        reader = TicketReader(redis, queue, engine)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(bus.listen(TICKETS, reader.wake))
                group.create_task(reader.main())
        except* AWAY as errors:
            log.warning("tickets.away", queue=queue, error=str(errors.exceptions[0]))
        await asyncio.sleep(0.5)
