"""What an exception means for a job: the one place that decides between failing, retrying and going back."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from typing import Any

import asyncpg

from service.domain.errors import Deferred, MillraceError, Occupied, Transient
from service.domain.event import EventType
from service.domain.job import Control, Retry, State
from service.store.claims import Settlement
from service.store.database import UNREACHABLE

TRANSIENT_SQLSTATES = ("08", "40001", "40P01", "53", "57P0")
"""Connection lost, serialization failure, deadlock, out of resources, server going down."""


DONE = Settlement(State.COMPLETED, EventType.COMPLETED)
RELEASED = Settlement(State.QUEUED, EventType.REQUEUED)
CANCELLED = Settlement(State.CANCELLED, EventType.CANCELLED)
INTERRUPTED: Mapping[Control | None, Settlement] = {
    Control.PAUSE: Settlement(State.PAUSED, EventType.PAUSED),
    Control.CANCEL: CANCELLED,
    Control.RESTART: RELEASED,
    None: RELEASED,  # the worker stops: another one goes on
}
"""By what the user wants of a job whose attempt was broken off."""


def done(output: Mapping[str, Any]) -> Settlement:
    """The end of a job that was to make something."""
    return Settlement(State.COMPLETED, EventType.COMPLETED, output=output)


def obeying(settlement: Settlement, control: Control | None) -> Settlement:
    """How an attempt ends that does not end its job, by what the user wants of it at that very moment."""
    if control in (Control.PAUSE, Control.CANCEL):
        return INTERRUPTED[control]
    return settlement if settlement.state in (State.QUEUED, State.RETRYING) else RELEASED


def of(error: BaseException, attempt: int, retry: Retry, *, progressed: bool = False) -> Settlement:
    """Judge what ended try number `attempt`; `progressed` if it committed any chunk."""
    if progressed and is_transient(error) and not isinstance(error, Transient):
        return RELEASED  # the database went away under a job that was going well: that is no failed try
    if isinstance(error, MillraceError) and not isinstance(error, Transient):
        return _failed(problem(error.code, error.message, error.suggestion))
    if isinstance(error, Occupied | Deferred):
        told = problem(error.code, error.message, error.suggestion)
        return Settlement(State.RETRYING, EventType.RETRYING, told, wait_s=error.retry_after_s or 1)
    transient = is_transient(error)
    told = _told(error, transient)
    if attempt >= retry.max_attempts:
        return _failed(told)
    return Settlement(
        State.RETRYING, EventType.RETRYING, told, costs_attempt=True, wait_s=_wait_s(error, attempt, retry)
    )


def is_transient(error: BaseException) -> bool:
    """Whether the cause lies outside the job and may be gone soon."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(TRANSIENT_SQLSTATES)
    return isinstance(error, (Transient, *UNREACHABLE))


def problem(code: str, message: str, suggestion: str | None) -> dict[str, str]:
    """The problem of a job as stored and shown."""
    return {"code": code, "message": message} | ({"suggestion": suggestion} if suggestion else {})


def _told(error: BaseException, transient: bool) -> dict[str, str]:
    if isinstance(error, Transient):
        return problem(error.code, error.message, error.suggestion)
    if transient:
        return problem("busy", "The database was away while this job ran.", "Nothing to do: it tries again by itself.")
    incident = secrets.token_hex(4)
    return problem(
        "internal_error",
        f"Something in Millrace broke (incident {incident}).",
        f"Search the worker's log for {incident}; retry the job once the cause is mended.",
    ) | {"incident": incident}


def _failed(told: Mapping[str, str]) -> Settlement:
    return Settlement(State.FAILED, EventType.FAILED, told)


def _wait_s(error: BaseException, attempt: int, retry: Retry) -> float:
    asked = error.retry_after_s if isinstance(error, Transient) else None
    # Full jitter: jobs that failed together do not come back together.
    return asked or random.uniform(0, min(retry.longest_wait_s, retry.first_wait_s * 2 ** min(attempt - 1, 60)))
