"""arq as it comes: it polls every 0.5 s. 100 jobs at a time, results not kept. It has no batch submit."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from arq import create_pool, run_worker
from arq.connections import RedisSettings
from arq.worker import func
from protocol import Tally, answer, ways_of

REDIS = RedisSettings.from_dsn(os.environ["BENCH_REDIS"])
tally = Tally()


async def noop(_ctx: dict[str, Any], sent: float) -> None:
    """Do nothing."""
    tally.note(sent)


class Worker:
    """arq's settings."""

    functions = (func(noop, keep_result=0),)
    redis_settings = REDIS
    max_jobs = 100


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        run_worker(Worker)  # type: ignore[arg-type]
    else:
        with asyncio.Runner() as runner:
            pool = runner.run(create_pool(REDIS))
            answer(ways_of(runner, lambda sent: pool.enqueue_job("noop", sent)))
