"""How a peer's client and worker talk to the bench: lines on stdin and stdout. Imports nothing but the library.

client  reads `WAY JOBS`, submits that many no-op jobs in that way, answers {"seconds": S}, or null
worker  prints {"jobs": N, "seconds": S}, from the start of job number BENCH_WARM_UP to that of the one BENCH_JOBS
        later, and {"waited_ms": W} at the start of each job that carries the time of its submit
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

IN_FLIGHT = 50
"""Submits on their way at a time in way `concurrent`."""

GAP_S = 0.02
"""Between two jobs of way `paced`, on average: random, so that no poll is met in step."""

Submit = Callable[[float], Awaitable[object]]
"""Submits one job, given the time of its submit, or 0 where nobody asks how long it waited."""


class Tally:
    """Counts the jobs of a worker as they start; several threads may."""

    def __init__(self) -> None:
        self._first = int(os.environ.get("BENCH_WARM_UP", "0"))
        self._last = int(os.environ.get("BENCH_JOBS", "0")) + self._first
        self._jobs = 0
        self._began = 0.0
        self._lock = threading.Lock()

    def note(self, sent: float) -> None:
        """A job has started. `sent` is the time of its submit, in seconds since 1970, or 0."""
        now = time.time()
        if sent:
            say({"waited_ms": (now - sent) * 1000})
            return
        with self._lock:
            self._jobs += 1
            if self._jobs == self._first:
                self._began = now
            elif self._jobs == self._last:
                say({"jobs": self._last - self._first, "seconds": now - self._began})


def say(figures: Mapping[str, float | None]) -> None:
    """Print one line of JSON at once."""
    assert sys.__stdout__ is not None
    sys.__stdout__.write(json.dumps(figures) + "\n")
    sys.__stdout__.flush()


def answer(ways: Mapping[str, Callable[[int], object]]) -> None:
    """Serve as a client until stdin ends."""
    for line in sys.stdin:
        way, jobs = line.split()
        say({"seconds": timed(ways[way], int(jobs)) if way in ways else None})


def timed(submit: Callable[[int], object], jobs: int) -> float:
    """Seconds that it took."""
    started = time.perf_counter()
    submit(jobs)
    return time.perf_counter() - started


async def single(submit: Submit, jobs: int) -> None:
    """One after another."""
    for _ in range(jobs):
        await submit(0)


async def concurrent(submit: Submit, jobs: int) -> None:
    """IN_FLIGHT at a time."""
    left = iter(range(jobs))

    async def lane() -> None:
        for _ in left:
            await submit(0)

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))


async def paced(submit: Submit, jobs: int) -> None:
    """One every GAP_S on average, each with the time of its submit."""
    for _ in range(jobs):
        await submit(time.time())
        await asyncio.sleep(random.uniform(0, 2 * GAP_S))


def ways_of(runner: asyncio.Runner, submit: Submit) -> dict[str, Callable[[int], object]]:
    """The ways of a client that is asyncio's."""
    return {
        "single": lambda jobs: runner.run(single(submit, jobs)),
        "concurrent": lambda jobs: runner.run(concurrent(submit, jobs)),
        "paced": lambda jobs: runner.run(paced(submit, jobs)),
    }
