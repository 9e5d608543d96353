"""Rings workers: one arq ticket says "look at job X". A ticket may be lost or doubled; PostgreSQL has the job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from service.bus import AWAY, Bus

log = structlog.get_logger()

TICKET = "ticket"


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
    """Puts tickets into Redis. When Redis is away a job just waits for a worker's sweep."""

    def __init__(self, redis: ArqRedis, bus: Bus) -> None:
        self._redis = redis
        self._bus = bus

    async def has_ticket(self, queue: str) -> bool:
        """Whether a ticket waits to be read. Raises AWAY."""
        async with asyncio.timeout(0.5):
            tickets: int = await self._redis.zcard(queue_key(queue))
        return tickets > 0

    async def ring(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """One ticket a job, then a wake-up. Never raises for Redis being away."""
        try:
            async with asyncio.timeout(0.5):
                for job_id in job_ids:
                    await self._redis.enqueue_job(TICKET, str(job_id), _queue_name=queue_key(queue))
        except AWAY as error:
            log.warning("ticket.lost", job_ids=[str(job_id) for job_id in job_ids], error=str(error))
        await self._bus.ring()
