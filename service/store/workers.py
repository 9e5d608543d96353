"""Workers, as they tell of themselves every few seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.store.database import Connection
from service.store.queries import load

_SQL = load("worker")

FORGOTTEN_S = 600.0
"""A worker that has told nothing for so long was killed, and is not coming back under its name."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is: slots by queue, cores and memory that it and its children take, its host's load."""

    queues: Mapping[str, Mapping[str, int]]
    cpu: float
    rss_bytes: int
    load: Sequence[float]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process, and how long it has been silent."""

    name: str
    host: str
    pid: int
    version: str
    load: Load
    started_at: datetime
    seen_at: datetime
    silent_s: float


async def seen(db: Connection, name: str, version: str, now: Load) -> None:
    """A worker tells how it is. Its name is HOST:PID."""
    host, _, pid = name.rpartition(":")
    queues = {queue: dict(slots) for queue, slots in now.queues.items()}
    await db.execute(_SQL["seen"], name, host, int(pid), version, queues, now.cpu, now.rss_bytes, list(now.load))


async def gone(db: Connection, name: str) -> None:
    """A worker stops in order."""
    await db.execute(_SQL["gone"], name)


async def forget(db: Connection) -> int:
    """Forget those that have long been silent; how many."""
    return int((await db.execute(_SQL["forget"], FORGOTTEN_S)).split()[-1])


async def all_workers(db: Connection) -> list[Worker]:
    """Those that tell of themselves, and those that did a moment ago."""
    return [
        Worker(
            row["name"],
            row["host"],
            row["pid"],
            row["version"],
            Load(row["queues"], row["cpu"], row["rss_bytes"], row["load"]),
            row["started_at"],
            row["seen_at"],
            row["silent_s"],
        )
        for row in await db.fetch(_SQL["all"])
    ]
