"""Redis is disposable: emptied, hung or gone, no job is lost or run twice, and submits go on being answered."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service import embedded
from tests import running
from tests.acceptance.test_worker_faults import people
from tests.running import Servers, Service, eventually, numbers_of, post_import, settled

AWAY_S = 20


@pytest.fixture
async def own_redis(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Redis of the test's own, to do harm to; its URL."""
    async with embedded.start(tmp_path_factory.mktemp("redis"), postgres=False) as started:
        yield started.redis_url


@pytest.fixture
async def service(servers: Servers, own_redis: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service on that Redis."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), "all", redis_url=own_redis) as started:
        yield started


async def test_flushall_with_queued_and_running_jobs_loses_and_doubles_nothing(
    service: Service, own_redis: str
) -> None:
    jobs = [await post_import(service.client, people(20_000), f"people_{n}") for n in range(12)]
    async with Redis.from_url(own_redis) as redis:
        for _ in range(20):
            await redis.flushall()
    for n, job in enumerate(jobs):
        ended = await settled(service.client, job)
        assert ended["state"] == "completed"
        rows = await numbers_of(service, f"people_{n}")
        assert len(rows) == len(set(rows)) == ended["counts"]["inserted"]


async def test_with_redis_hung_submits_are_answered_and_jobs_run(service: Service, own_redis: str) -> None:
    pid = await process_of(own_redis)
    os.kill(pid, signal.SIGSTOP)
    try:
        await submit_for(service, AWAY_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    await submit_for(service, 0.1)


async def test_with_redis_dying_again_and_again_submits_are_answered_and_jobs_run(
    service: Service, own_redis: str
) -> None:
    async def die() -> None:
        while True:
            os.kill(await process_of(own_redis), signal.SIGKILL)
            await asyncio.sleep(0.2)

    dying = asyncio.create_task(die())
    await submit_for(service, AWAY_S)
    dying.cancel()


async def process_of(redis_url: str) -> int:
    """The process id of a Redis, once it answers."""

    async def look() -> int | None:
        with suppress(RedisError, OSError):
            async with Redis.from_url(redis_url) as redis:
                return int((await redis.info("server"))["process_id"])
        return None

    return await eventually(look)


async def submit_for(service: Service, duration_s: float) -> None:
    """Ten small imports over that time: each is answered at once and completes."""
    since = time.monotonic()
    for number in range(10):
        submitted_at = time.monotonic()
        job = await post_import(service.client, b"id,name\n1,Ann\n2,Bob\n", "small")
        assert time.monotonic() - submitted_at < 5
        assert (await settled(service.client, job))["counts"]["inserted"] == 2
        await asyncio.sleep(max(0, since + (number + 1) * duration_s / 10 - time.monotonic()))
