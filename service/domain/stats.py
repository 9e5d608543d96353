"""Statistics of jobs: what they are made of, and the rates and quantiles that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.domain.job import State

SHORTEST_S = 0.1
"""Upper bound of run class 0; each further class is twice as wide."""

NEVER_RAN = -1
"""The run class of jobs that ended before a worker had them."""


class Span(StrEnum):
    """How much time one point of a series covers."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Live:
    """Jobs of one queue that are in one state now, and for how long the oldest could have run."""

    queue: str
    state: State
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """Jobs that ended within one span, by state, and what they did. Times in milliseconds."""

    start: datetime
    completed: int
    failed: int
    cancelled: int
    read: int
    inserted: int
    updated: int
    skipped: int
    rejected: int
    bytes: int
    run_ms: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class RunClass:
    """Ended jobs of one processor and state whose run times are alike."""

    processor: str
    state: str
    run_class: int
    jobs: int
    read: int
    bytes: int
    run_ms: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Failures:
    """How many jobs of a processor failed for one reason."""

    processor: str
    code: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Ended jobs of all accounts of one processor and state whose run times are alike."""

    processor: str
    state: str
    run_class: int
    jobs: int
    inserted: int
    updated: int
    skipped: int
    rejected: int
    bytes: int
    run_ms: int


@dataclass(frozen=True, slots=True)
class ProcessorStats:
    """How a processor did: ended jobs by state; `success_rate` leaves the cancelled out; run time of the completed."""

    processor: str
    completed: int
    failed: int
    cancelled: int
    read: int
    bytes: int
    success_rate: float | None
    wait_mean_s: float | None
    run_mean_s: float | None
    run_p50_s: float | None
    run_p95_s: float | None


def of_processor(processor: str, classes: Sequence[RunClass]) -> ProcessorStats:
    """Sum up the run classes of one processor, given in order of `run_class`."""
    completed = [c for c in classes if c.state == State.COMPLETED]
    done, failed = _jobs(completed), _jobs(c for c in classes if c.state == State.FAILED)
    started = [c for c in classes if c.run_class != NEVER_RAN]
    return ProcessorStats(
        processor=processor,
        completed=done,
        failed=failed,
        cancelled=_jobs(c for c in classes if c.state == State.CANCELLED),
        read=sum(c.read for c in classes),
        bytes=sum(c.bytes for c in classes),
        success_rate=done / (done + failed) if done + failed else None,
        wait_mean_s=_mean_s(sum(c.wait_ms for c in started), _jobs(started)),
        run_mean_s=_mean_s(sum(c.run_ms for c in completed), done),
        run_p50_s=quantile_s(completed, 0.5),
        run_p95_s=quantile_s(completed, 0.95),
    )


def bound_s(run_class: int) -> float:
    """The longest run time that is in a class."""
    return SHORTEST_S * 2.0**run_class


def histogram(classes: Iterable[RunClass]) -> list[tuple[float, int]]:
    """Completed jobs by their run time: the upper bounds of classes, without a gap, and how many are in each."""
    counts: dict[int, int] = {}
    for c in classes:
        if c.state == State.COMPLETED and c.run_class != NEVER_RAN:
            counts[c.run_class] = counts.get(c.run_class, 0) + c.jobs
    return [(bound_s(n), counts.get(n, 0)) for n in range(min(counts), max(counts) + 1)] if counts else []


def quantile_s(classes: Iterable[RunClass], share: float) -> float | None:
    """The run time that `share` of the jobs do not pass, as if they lay evenly in their class; None without any job.

    It is off by a factor of two at most, for that is how wide a class is.
    """
    ran = sorted((c for c in classes if c.run_class != NEVER_RAN), key=lambda c: c.run_class)
    wanted = share * _jobs(ran)
    for c in ran:
        if wanted <= c.jobs:
            high = bound_s(c.run_class)
            low = high / 2 if c.run_class else 0.0
            return low + (high - low) * wanted / c.jobs
        wanted -= c.jobs
    return None


def _jobs(classes: Iterable[RunClass]) -> int:
    return sum(c.jobs for c in classes)


def _mean_s(total_ms: int, jobs: int) -> float | None:
    return total_ms / 1000 / jobs if jobs else None
