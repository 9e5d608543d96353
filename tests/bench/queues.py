"""`python -m tests.bench queues`: no-op jobs through Millrace and through other queues, on one Redis, in turns.

A round of each: submits one after another, 50 at a time and in one batch; one worker process drains them; then jobs
come now and then to that worker, idle. A row that cannot be measured says why.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.millrace import Millrace
from tests.bench.peer import Missing, Peer

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
ROUND_S = 120.0

PEERS = [
    ("arq", "arq_.py", 2_500),
    ("SAQ", "saq_.py", 5_000),
    ("taskiq", "taskiq_.py", 5_000),
    ("Celery", "celery_.py", 1_000),
    ("BullMQ", "bullmq.mjs", 20_000),
]
"""Name, script, and no-op jobs that a round drains."""


class System(Protocol):
    """What is measured. The submits and `drain` give seconds, `pickup` milliseconds.

    A round drains `jobs` after `warm_up` and those submitted singly, and submits `paced` to the idle worker.
    """

    name: str
    warm_up: int
    jobs: int
    paced: int

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def submit_single(self, jobs: int) -> float | None: ...
    async def submit_concurrent(self, jobs: int) -> float | None: ...
    async def submit_batch(self, jobs: int) -> float | None: ...
    async def drain(self, warm_up: int, jobs: int) -> float: ...
    async def pickup(self, jobs: int) -> list[float]: ...


COLUMNS = ("single/s", "concurrent/s", "batch/s", "drained/s", "p50 ms", "p99 ms")


@dataclass
class Row:
    """One system's figures, by column a list with one entry a round; or why there are none."""

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""

    def add(self, column: str, value: float) -> None:
        """One round's figure."""
        self.figures.setdefault(column, []).append(value)

    def median(self, column: str) -> float | None:
        """Over the rounds."""
        values = self.figures.get(column)
        return statistics.median(values) if values else None


async def one_round(system: System, row: Row) -> None:
    """Measure everything once."""
    single, few = min(500, system.jobs // 10), min(2_500, system.jobs // 2)
    many = system.jobs - few
    await system.start()
    try:
        await system.submit_single(system.warm_up)
        row.add("single/s", single / (await system.submit_single(single) or 1))
        row.add("concurrent/s", few / (await system.submit_concurrent(few) or 1))
        if seconds := await in_batch(system, many):
            row.add("batch/s", many / seconds)
        row.add("drained/s", system.jobs / await system.drain(system.warm_up + single, system.jobs))
        await asyncio.sleep(1)  # the worker has settled what it drained
        waits = sorted((await system.pickup(system.paced))[system.paced // 10 :])
        row.add("p50 ms", waits[len(waits) // 2])
        row.add("p99 ms", waits[len(waits) * 99 // 100])
    finally:
        await system.stop()


async def in_batch(system: System, jobs: int) -> float | None:
    """Submit a batch; where there is no such way, the jobs all the same, and None."""
    try:
        seconds = await system.submit_batch(jobs)
    except NotImplementedError:
        seconds = None
    if seconds is None:
        await system.submit_concurrent(jobs)
    return seconds


@asynccontextmanager
async def servers() -> AsyncIterator[dict[str, str]]:
    """The embedded PostgreSQL and Redis of the tests, in a folder of their own."""
    helper = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.servers", stdin=PIPE, stdout=PIPE)
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        yield json.loads(await helper.stdout.readline())
    finally:
        helper.stdin.close()
        await helper.wait()


async def measure(build: Path, only: Iterable[str]) -> list[Row]:
    """Rounds in turns. A system that fails in a round is not asked again."""
    wanted = {name.lower() for name in only}
    async with servers() as on:
        redis_url = on["redis_url"]
        systems: list[tuple[Row, System]] = []
        rows = [Row("Millrace")]
        if not wanted or "millrace" in wanted:
            systems.append((rows[0], Millrace(on["database_url"], redis_url, build)))
        for number, (name, script, jobs) in enumerate(PEERS, start=1):
            if wanted and name.lower() not in wanted:
                continue
            rows.append(Row(name))
            try:
                systems.append((rows[-1], Peer(name, script, jobs, f"{redis_url}?db={number}", build)))
            except Missing as reason:
                rows[-1].missing = str(reason)
        for number in range(1, ROUNDS + 1):
            for row, system in systems:
                if not row.missing:
                    print(f"round {number} of {ROUNDS}: {row.name}", file=sys.stderr, flush=True)
                    await guarded(system, row)
                    said = {column: round(values[-1], 1) for column, values in row.figures.items()}
                    print(f"  {said} {row.missing}", file=sys.stderr, flush=True)
    return rows


async def guarded(system: System, row: Row) -> None:
    """A round that may fail."""
    try:
        async with asyncio.timeout(ROUND_S):
            await one_round(system, row)
    except Exception as error:
        row.missing = f"{type(error).__name__}: {error}"


def table(rows: list[Row]) -> str:
    """Medians, then Millrace : peer (above 1 is better for Millrace, for waits too)."""
    lines = [f"{'median of ' + str(ROUNDS):14}" + "".join(f"{column:>14}" for column in COLUMNS)]
    for row in rows:
        cells = "".join(f"{shown(row.median(column), column):>14}" for column in COLUMNS)
        lines.append(f"{row.name:14}{cells}" + (f"  {row.missing}" if row.missing else ""))
    ours = rows[0]
    for row in rows[1:]:
        cells = "".join(f"{ratio(ours.median(column), row.median(column), column):>14}" for column in COLUMNS)
        lines.append(f"{'× ' + row.name:14}{cells}")
    return "\n".join(lines)


def shown(value: float | None, column: str) -> str:
    """A figure."""
    if value is None:
        return "—"
    return f"{value:.1f}" if column.endswith("ms") else f"{value:,.0f}"


def ratio(ours: float | None, theirs: float | None, column: str) -> str:
    """How many times better we are."""
    if ours is None or theirs is None:
        return "—"
    return f"{theirs / ours if column.endswith('ms') else ours / theirs:.2f}"


def main(build: Path, only: Iterable[str] = ()) -> None:
    """Measure and print."""
    rows = asyncio.run(measure(build, only))
    print("\nno-op jobs, one worker process, the same Redis; pick-up from before the submit to the job's start")
    print(table(rows))
