"""taskiq with taskiq-redis: 100 jobs at a time, no results. It has no batch submit. Its command takes uvloop itself."""

from __future__ import annotations

import asyncio
import os
import sys

import taskiq_redis
from protocol import Tally, answer, ways_of

tally = Tally()
broker = getattr(taskiq_redis, os.environ.get("BENCH_BROKER", "RedisStreamBroker"))(os.environ["BENCH_REDIS"])


@broker.task(task_name="noop")
async def noop(sent: float) -> None:
    """Do nothing."""
    tally.note(sent)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        options = ["--workers", "1", "--max-async-tasks", "100", "--log-level", "WARNING"]
        os.execv(sys.executable, [sys.executable, "-m", "taskiq", "worker", *options, "taskiq_:broker"])  # noqa: S606  the command is ours
    with asyncio.Runner() as runner:
        runner.run(broker.startup())
        answer(ways_of(runner, noop.kiq))
