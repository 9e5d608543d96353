"""Celery: a pool of threads in one process, no results. Its batch submit is a `group`; concurrent ones are threads."""

from __future__ import annotations

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery, group
from protocol import GAP_S, IN_FLIGHT, Tally, answer

tally = Tally()
app = Celery(
    "bench", broker=os.environ["BENCH_REDIS"].replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
)
app.conf.update(
    task_ignore_result=True,
    worker_redirect_stdouts=False,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(sent: float) -> None:
    """Do nothing."""
    tally.note(sent)


def single(jobs: int) -> None:
    """One after another."""
    for _ in range(jobs):
        noop.delay(0)


def concurrent(jobs: int) -> None:
    """IN_FLIGHT at a time."""
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        list(threads.map(lambda _: noop.delay(0), range(jobs)))


def batch(jobs: int) -> None:
    """All in one call."""
    group(noop.s(0) for _ in range(jobs)).apply_async()


def paced(jobs: int) -> None:
    """One every GAP_S on average, each with the time of its submit."""
    for _ in range(jobs):
        noop.delay(time.time())
        time.sleep(random.uniform(0, 2 * GAP_S))


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        pool = os.environ.get("BENCH_POOL", "threads")
        options = ["-P", pool, "-c", "50", "-l", "error", "--without-gossip", "--without-mingle"]
        os.execv(sys.executable, [sys.executable, "-m", "celery", "-q", "-A", "celery_", "worker", *options])  # noqa: S606  the command is ours
    answer({"single": single, "concurrent": concurrent, "batch": batch, "paced": paced})
