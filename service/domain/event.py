"""Events: what happened to a job, past tense, numbered 1..n without a gap, in commit order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class EventType(StrEnum):
    """Every event there is; the README lists them with their data."""

    CREATED = "job.created"
    PRIORITIZED = "job.prioritized"
    STARTED = "job.started"
    PROGRESSED = "job.progressed"
    RESET = "job.reset"
    RETRYING = "job.retrying"
    REQUEUED = "job.requeued"
    PAUSE_REQUESTED = "job.pause_requested"
    PAUSED = "job.paused"
    RESUMED = "job.resumed"
    CANCEL_REQUESTED = "job.cancel_requested"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    FLOW_COMPLETED = "flow.completed"
    FLOW_FAILED = "flow.failed"
    FLOW_RESUMED = "flow.resumed"


TERMINAL = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})

ENDING = TERMINAL | {EventType.FLOW_COMPLETED, EventType.FLOW_FAILED}
"""Behind these a stream may end."""


class Position(NamedTuple):
    """The place of an event among all events of its account, `TX-NO` in text. Positions grow, but not by one."""

    tx: int
    no: int

    def __str__(self) -> str:
        return f"{self.tx}-{self.no}"


@dataclass(frozen=True, slots=True)
class Event:
    """One event as stored. `seq` is gap-free per job or flow; `data` is JSON. That of a flow has no `job_id`."""

    job_id: UUID | None
    seq: int
    type: EventType
    at: datetime
    data: Mapping[str, Any]
    position: Position
