"""Why a job stands where it stands, in a stable word for programs and in sentences for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from service.domain.job import Control, Job, Outcome, RunIf, State


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A job that another one needs and that is not as it should be."""

    id: UUID
    state: State
    step: str | None = None


MAX_OBSTACLES = 20


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a job at one moment, `now`.

    `obstacles` are what a pending job waits for, and what a failed one could not do without; at most MAX_OBSTACLES.
    `position` (from 1), `busy` (jobs of its queue that run) and `full_limit` (one that it has run into) are for queued
    jobs. `worker`, `claimed_at` and `is_held` (its lease has not run out) are for running ones, `paused_at` for paused
    ones.
    """

    now: datetime
    run_at: datetime
    remove_rows: bool = False
    worker: str | None = None
    is_held: bool = False
    claimed_at: datetime | None = None
    paused_at: datetime | None = None
    position: int | None = None
    busy: int | None = None
    full_limit: str | None = None
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reason` is stable; `message` says why; `suggestion` says what to do, None when there is nothing."""

    reason: str
    message: str
    suggestion: str | None = None
    position: int | None = None
    ahead: int | None = None
    run_at: datetime | None = None
    problem: Mapping[str, str] | None = None
    jobs: tuple[Obstacle, ...] = ()


def explain(job: Job, around: Circumstances) -> Explanation:
    """Say why the job is where it is, and what would move it."""
    return _BY_STATE[job.state](job, around)


def _pending(job: Job, around: Circumstances) -> Explanation:
    if job.waits_for:
        end = "end" if job.run_if is RunIf.ENDED else "complete"
        return Explanation(
            "waiting_for_jobs",
            f"It waits for {_jobs(job.waits_for)} to {end}{_named(around)}.",
            f"Look at what holds those up; POST {_path(job)}/cancel if it should not run.",
            jobs=around.obstacles,
        )
    if around.run_at > around.now:
        return Explanation(
            "scheduled",
            f"It waits for its time, {_at(around.run_at)}, which is in {_span(around)}.",
            f"POST {_path(job)}/cancel if it should not run.",
            run_at=around.run_at,
        )
    return Explanation(
        "waiting_for_others",
        "It waits for its upload, or for jobs that have to end before it.",
        f"Look at those first; POST {_path(job)}/cancel if it should not run.",
    )


def _queued(job: Job, around: Circumstances) -> Explanation:
    position = around.position or 1
    line = f"It is number {position:,} in the line of queue {job.queue}"
    told = _held_back(around.full_limit) if around.full_limit else _in_line(job, around.busy or 0, line)
    return replace(told, position=position, ahead=position - 1)


def _held_back(limit: str) -> Explanation:
    return Explanation(
        "limit_reached",
        f"As many jobs run as may run at a time ({limit}).",
        "It starts when one of them ends. An operator can change it: `python -m service limit`.",
    )


def _in_line(job: Job, busy: int, line: str) -> Explanation:
    if job.control is Control.CANCEL:
        stored = _rows(job.counts.inserted + job.counts.updated)
        return Explanation("removing_rows", f"It was cancelled, and a worker takes back its {stored} first. {line}.")
    if not busy:
        return Explanation(
            "no_worker_seen",
            f"{line}, and no worker runs anything from there at the moment: is one running?",
            "A free worker takes it within seconds. If it stays here, start one with `python -m workers`.",
        )
    return Explanation(
        "waiting_for_turn",
        f"{line}; {_are(busy)} running. Workers take the most urgent first, then accounts in turn.",
        f"PATCH {_path(job)} with a higher priority (it has {job.priority} of 10) moves it forward."
        if job.priority < 10
        else None,
    )


def _running(job: Job, around: Circumstances) -> Explanation:
    worker, since = around.worker or "unknown", _at(around.claimed_at)
    if not around.is_held:
        return Explanation(
            "worker_silent",
            f"Its worker {worker} has not been heard of for too long; another one goes on {_behind(job)}.",
            "If it stays here, see whether a worker is running, or start one with `python -m workers`.",
        )
    asked = {
        None: "",
        Control.PAUSE: " A pause is asked for: it stops after the chunk in hand.",
        Control.CANCEL: " A cancel is asked for: it stops after the chunk in hand.",
        Control.RESTART: " It begins again from the start.",
    }[job.control]
    message = f"Worker {worker} has had it since {since}, with {_rows(job.counts.read)} read so far.{asked}"
    return Explanation(_RUNNING_REASONS[job.control], message)


def _retrying(job: Job, around: Circumstances) -> Explanation:
    problem = job.problem or {}
    when = f"in {_span(around)}" if around.run_at > around.now else "any moment"
    ended = f" The one before it ended with: {problem['message']}" if "message" in problem else ""
    return Explanation(
        "backing_off",
        f"Attempt {job.attempt} of {job.retry.max_attempts} begins {when}, {_behind(job)}.{ended}",
        problem.get("suggestion") or "Nothing to do: it tries again by itself.",
        run_at=around.run_at,
        problem=job.problem,
    )


def _paused(job: Job, around: Circumstances) -> Explanation:
    since = f" since {_at(around.paused_at)}" if around.paused_at else ""
    return Explanation(
        "paused_by_user",
        f"Somebody of this account has paused it{since}, after {_rows(job.counts.read)}; it does not go on by itself.",
        f"POST {_path(job)}/resume goes on {_behind(job)}; POST {_path(job)}/cancel ends it.",
    )


def _completed(job: Job, _around: Circumstances) -> Explanation:
    counts = job.counts
    stored = counts.inserted + counts.updated
    skipped = f", {counts.skipped:,} skipped as they were there already" if counts.skipped else ""
    if job.outcome is Outcome.COMPLETE:
        return Explanation("completed", f"It read the whole file: {_rows(stored)} stored{skipped}, none refused.")
    return Explanation(
        "completed_with_rejects" if job.outcome is Outcome.PARTIAL else "every_row_rejected",
        f"It read the whole file: {stored:,} of {_rows(counts.read)} stored{skipped}, {counts.rejected:,} refused.",
        f"GET {_path(job)}/rejects says why, row by row. Mend those rows and import them on their own.",
    )


def _failed(job: Job, around: Circumstances) -> Explanation:
    problem = job.problem or {}
    advice = problem.get("suggestion")
    if problem.get("code") == "dependency_failed":
        return Explanation(
            "dependency_failed",
            f"It did not run, as what it needs did not complete{_named(around)}.",
            f"POST {_path(around.obstacles[0])}/retry and then POST {_path(job)}/retry."
            if around.obstacles
            else f"What it needs has completed since: POST {_path(job)}/retry runs it.",
            problem=job.problem,
            jobs=around.obstacles,
        )
    return Explanation(
        "failed",
        f"It failed after {_rows(job.counts.read)}: {problem.get('message', 'the cause is not known.')}",
        " ".join(filter(None, (advice, _retry(job)))),
        problem=job.problem,
    )


def _cancelled(job: Job, around: Circumstances) -> Explanation:
    stored = job.counts.inserted + job.counts.updated
    if stored:
        reason, fate = "cancelled_rows_kept", f"the {_rows(stored)} stored before that were kept"
    elif around.remove_rows:
        reason, fate = "cancelled_rows_removed", "none of its rows are stored: it was asked to take them back"
    else:
        reason, fate = "cancelled_before_rows", "it had not stored any row yet"
    when = f" at {_at(job.cancel_requested_at)}" if job.cancel_requested_at else ""
    return Explanation(reason, f"Somebody of this account cancelled it{when}; {fate}.", _retry(job))


_RUNNING_REASONS: Mapping[Control | None, str] = {
    None: "running",
    Control.PAUSE: "pausing",
    Control.CANCEL: "cancelling",
    Control.RESTART: "restarting",
}

_BY_STATE: Mapping[State, Callable[[Job, Circumstances], Explanation]] = {
    State.PENDING: _pending,
    State.QUEUED: _queued,
    State.RUNNING: _running,
    State.RETRYING: _retrying,
    State.PAUSED: _paused,
    State.COMPLETED: _completed,
    State.FAILED: _failed,
    State.CANCELLED: _cancelled,
}


def _retry(job: Job) -> str:
    goes_on = f"POST {_path(job)}/retry goes on {_behind(job)}"
    return f"{goes_on}; with ?from=start it takes its rows back first." if job.counts.read else f"{goes_on}."


def _behind(job: Job) -> str:
    return f"behind row {job.counts.read:,}" if job.counts.read else "from the start"


def _named(around: Circumstances) -> str:
    named = [f"{found.step or found.id} is {found.state.value}" for found in around.obstacles[:3]]
    return f": {', '.join(named)}{' …' if len(around.obstacles) > 3 else ''}" if named else ""


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"


def _path(job: Job | Obstacle) -> str:
    return f"/v1/jobs/{job.id}"


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "a moment ago"


def _span(around: Circumstances) -> str:
    return f"{math.ceil((around.run_at - around.now).total_seconds()):,} s"


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def _are(number: int) -> str:
    return "1 job is" if number == 1 else f"{number:,} jobs are"
