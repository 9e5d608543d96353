"""A job: one request to run one processor on one input. Its states, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class State(StrEnum):
    """Where a job stands. `completed`, `failed` and `cancelled` are final; only a user's retry leaves them."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """How much of the input is stored once a job has ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    NONE = "none"


class RunIf(StrEnum):
    """What must have become of the jobs that a job waits for, so that it runs."""

    COMPLETED = "completed"
    ENDED = "ended"


class Control(StrEnum):
    """What a user wants of a job that a worker has, or will have next; the worker obeys at its next chunk."""

    PAUSE = "pause"
    CANCEL = "cancel"
    RESTART = "restart"


FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.QUEUED, State.CANCELLED, State.FAILED, State.PAUSED}),
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.PAUSED}),
    State.RUNNING: frozenset(
        {State.COMPLETED, State.FAILED, State.CANCELLED, State.PAUSED, State.RETRYING, State.QUEUED}
    ),
    State.RETRYING: frozenset({State.QUEUED, State.CANCELLED, State.PAUSED}),
    State.PAUSED: frozenset({State.QUEUED, State.PENDING, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset({State.QUEUED, State.PENDING}),
    State.CANCELLED: frozenset({State.QUEUED, State.PENDING}),
}
"""Every move there is; the database holds the same table and refuses any other."""

MAX_DEATHS = 3
"""Workers a job may lose in a row, without a chunk committed in between, before it is quarantined as `poison`."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job is tried, and how patiently.

    The wait before try n + 1 is random between 0 and `first_wait_s` · 2ⁿ⁻¹, at most `longest_wait_s`. A processor that
    makes no progress for `deadline_s` is ended; None leaves that to the setting.
    """

    max_attempts: int = 3
    first_wait_s: float = 2.0
    longest_wait_s: float = 600.0
    deadline_s: float | None = None


DEFAULT_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a job: `read = inserted + updated + skipped + rejected` at every commit."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `done` of `total` in `unit`, `rate` in rows per second."""

    done: int
    total: int | None
    unit: str
    phase: str
    message: str | None
    rate: float | None

    @property
    def percent(self) -> float | None:
        """0–100, or None when the total is unknown."""
        if self.total is None:
            return None
        return round(100 * min(self.done / self.total, 1), 2) if self.total else 100.0


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. `waits_for` is the number of jobs that have yet to end before it.

    `corrects_id` is the job whose rejects it brings in, corrected. `noted` rows have a note. `undone_by` takes its rows
    back, or has done so at `undone_at`. `is_duplicate` where it answers a request to import the same once more.
    """

    id: UUID
    account_id: UUID
    processor: str
    queue: str
    state: State
    outcome: Outcome | None
    priority: int
    upload_id: UUID | None
    dataset: str | None
    options: Mapping[str, Any]
    metadata: Mapping[str, Any]
    input: Mapping[str, Any]
    output: Mapping[str, Any] | None
    flow_id: UUID | None
    step: str | None
    attempt: int
    retry: Retry
    event_seq: int
    progress: Progress
    counts: Counts
    problem: Mapping[str, str] | None
    control: Control | None
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    waits_for: int = 0
    run_if: RunIf = RunIf.COMPLETED
    is_required: bool = True
    corrects_id: UUID | None = None
    is_duplicate: bool = False
    noted: int = 0
    undone_by: UUID | None = None
    undone_at: datetime | None = None
