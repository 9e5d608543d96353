"""SAQ: 100 jobs at a time, nothing kept of a finished one. It has no batch submit."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from protocol import Tally, answer, ways_of
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue

tally = Tally()
queue = RedisQueue(Redis.from_url(os.environ["BENCH_REDIS"], max_connections=1000))


async def noop(_ctx: Any, *, sent: float) -> None:
    """Do nothing."""
    tally.note(sent)


async def work() -> None:
    """Until SIGTERM."""
    await Worker(queue, functions=[noop], concurrency=100).start()


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        if sys.argv[1] == "worker":
            runner.run(work())
        else:
            answer(ways_of(runner, lambda sent: queue.enqueue("noop", sent=sent, ttl=-1)))
