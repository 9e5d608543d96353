"""How long a running job will still take: an interval, as wide as the guess is poor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.domain.job import FINAL, Job, State

FIRST_CHUNK_SEQ = 3
"""Created, started, one chunk: the number of the event up to which a job can have had one chunk at most."""

EARLY_PERCENT = 5.0
EARLY_FACTORS = (0.5, 2.5)
FACTORS = (0.8, 1.3)


@dataclass(frozen=True, slots=True)
class Eta:
    """Whole seconds until the end, between `low` and `high`."""

    low: int
    high: int


def of(job: Job) -> Eta | None:
    """The seconds a job has left; nought once it ended, None while it waits, is asked to stop or is too young."""
    if job.state in FINAL:
        return Eta(0, 0)
    # What is asked for ends or restarts the attempt, so its pace tells nothing of the end.
    if job.state is not State.RUNNING or job.control is not None:
        return None
    # One chunk's pace is mostly that of starting up.
    if job.event_seq <= FIRST_CHUNK_SEQ:
        return None
    return _interval(job)


def _interval(job: Job) -> Eta | None:
    progress, read = job.progress, job.counts.read
    if progress.total is None or not progress.rate or not progress.done or not read:
        return None
    rows_left = max(progress.total - progress.done, 0) * read / progress.done
    seconds = rows_left / progress.rate
    low, high = EARLY_FACTORS if (progress.percent or 0) < EARLY_PERCENT else FACTORS
    return Eta(math.floor(seconds * low), math.ceil(seconds * high))
