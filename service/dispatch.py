"""Rings workers, who look for jobs at once; an arq ticket, "look at jobs X, Y", follows for whoever did not hear it.

Both may be lost or doubled; PostgreSQL has the jobs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from service.bus import AWAY, Bus

log = structlog.get_logger()

TICKET = "ticket"

GATHER_S = 0.005
"""After a ring: what comes so soon behind it shares the next one. Whoever heard the first is awake by then."""

TICKET_S = 0.1
"""From the first ring to its ticket. A burst of submits makes one, and most workers have taken the jobs by then."""

NAMED = 20
"""Jobs that one ticket names; it is read as "there is work", whatever their number."""


def queue_key(queue: str) -> str:
    """The Redis key of a queue's tickets."""
    return f"millrace:queue:{queue}"


def dumps(message: object) -> bytes:
    """JSON instead of arq's pickle: nothing that Redis holds is ever executed."""
    return json.dumps(message, default=str).encode()


def loads(data: bytes) -> dict[str, Any]:
    """The reverse of `dumps`."""
    message: dict[str, Any] = json.loads(data)
    return message


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[ArqRedis]:
    """A Redis client that connects when first used, so that an absent Redis stops nobody from starting."""
    pool = ConnectionPool.from_url(url, socket_connect_timeout=1, health_check_interval=15)
    redis = ArqRedis(connection_pool=pool, job_serializer=dumps, job_deserializer=loads)
    try:
        yield redis
    finally:
        await redis.aclose()
        await pool.disconnect()


class Dispatch:
    """Puts tickets into Redis, beside the requests that need them. With Redis away a job waits for a worker's sweep."""

    def __init__(self, redis: ArqRedis, bus: Bus) -> None:
        self._redis = redis
        self._bus = bus
        self._new: dict[str, list[UUID]] = {}  # by queue
        self._untold: dict[str, list[UUID]] = {}  # rung for, and on no ticket yet
        self._ringer: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def has_ticket(self, queue: str) -> bool:
        """Whether a ticket waits to be read. Raises AWAY."""
        async with asyncio.timeout(0.5):
            tickets: int = await self._redis.zcard(queue_key(queue))
        return tickets > 0

    def ring(self, queue: str, *job_ids: UUID) -> None:
        """Say that jobs are queued; returns at once. What comes while a ring is under way shares the next one."""
        self._new.setdefault(queue, []).extend(job_ids)
        if self._ringer is None:
            self._ringer = asyncio.create_task(self._ring_all())

    async def close(self) -> None:
        """Ring, and write the tickets, or give up."""
        self._closing.set()
        while (task := self._ringer or self._writer) is not None:
            await task
        self._closing.clear()

    async def _ring_all(self) -> None:
        try:
            while self._new:
                queue, job_ids = self._new.popitem()
                await self._bus.ring(queue)
                self._untold.setdefault(queue, []).extend(job_ids)
                if self._writer is None:
                    self._writer = asyncio.create_task(self._write_all())
                await asyncio.sleep(GATHER_S)
        finally:
            self._ringer = None

    async def _write_all(self) -> None:
        try:
            while self._untold:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICKET_S):
                        await self._closing.wait()
                while self._untold:
                    await self._write(*self._untold.popitem())
        finally:
            self._writer = None

    async def _write(self, queue: str, job_ids: Sequence[UUID]) -> None:
        try:
            if await self.has_ticket(queue):  # whoever reads that one finds these jobs too
                return
            async with asyncio.timeout(0.5):
                await self._redis.enqueue_job(TICKET, *map(str, job_ids[:NAMED]), _queue_name=queue_key(queue))
        except AWAY as error:
            log.warning("ticket.lost", queue=queue, jobs=len(job_ids), error=str(error))
