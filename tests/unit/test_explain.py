"""Every state is explained: a stable reason, a sentence, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.explain import Circumstances, Explanation, explain
from service.domain.job import Control, Counts, Outcome, State
from tests.unit.test_eta import job

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PROBLEM = {"code": "busy", "message": "The database was away while this job ran.", "suggestion": "Nothing to do."}
NO_ROWS = Counts()


def said(state: State, around: dict[str, Any] | None = None, **fields: Any) -> Explanation:
    """How a job with 100 rows read is explained."""
    circumstances = Circumstances(**{"now": NOW, "run_at": NOW, **(around or {})})
    return explain(job(state=state, **fields), circumstances)


@pytest.mark.parametrize("state", State)
def test_every_state_is_explained_even_when_nothing_else_is_known(state: State) -> None:
    told = said(state)
    assert told.reason
    assert told.message.endswith((".", "?"))


def test_a_queued_job_tells_its_place_and_how_to_move_it() -> None:
    told = said(State.QUEUED, {"position": 1_201, "busy": 4})
    assert (told.reason, told.position, told.ahead) == ("waiting_for_turn", 1_201, 1_200)
    assert "number 1,201 in the line of queue cpu; 4 jobs are running" in told.message
    assert told.suggestion
    assert "higher priority (it has 5 of 10)" in told.suggestion


def test_what_is_most_urgent_already_cannot_be_moved_forward() -> None:
    assert said(State.QUEUED, {"position": 2, "busy": 1}, priority=10).suggestion is None


def test_a_queue_from_which_nothing_runs_asks_for_a_worker() -> None:
    told = said(State.QUEUED, {"position": 2, "busy": 0})
    assert (told.reason, told.position, told.ahead) == ("no_worker_seen", 2, 1)
    assert told.suggestion
    assert "python -m workers" in told.suggestion


def test_a_cancelled_job_that_waits_for_its_rows_to_be_removed_says_so() -> None:
    told = said(State.QUEUED, {"position": 1, "busy": 0}, control=Control.CANCEL)
    assert told.reason == "removing_rows"
    assert "takes back its 100 rows" in told.message


def test_a_retrying_job_tells_when_which_attempt_and_what_went_wrong() -> None:
    run_at = NOW + timedelta(seconds=3.2)
    told = said(State.RETRYING, {"run_at": run_at}, attempt=2, problem=PROBLEM)
    assert (told.reason, told.run_at, told.problem) == ("backing_off", run_at, PROBLEM)
    assert told.message == (
        "Attempt 2 of 3 begins in 4 s, behind row 100. "
        "The one before it ended with: The database was away while this job ran."
    )
    assert told.suggestion == "Nothing to do."


def test_a_back_off_that_is_over_ends_any_moment() -> None:
    told = said(State.RETRYING, {"run_at": NOW - timedelta(seconds=1)}, problem=PROBLEM)
    assert "begins any moment" in told.message


def test_a_running_job_tells_its_worker_and_since_when() -> None:
    told = said(State.RUNNING, {"worker": "host:17", "is_held": True, "claimed_at": NOW})
    assert told.reason == "running"
    assert told.message == "Worker host:17 has had it since 2026-01-01 12:00:00 UTC, with 100 rows read so far."


@pytest.mark.parametrize(
    ("control", "reason"),
    [(Control.PAUSE, "pausing"), (Control.CANCEL, "cancelling"), (Control.RESTART, "restarting")],
)
def test_a_running_job_tells_what_was_asked_of_it(control: Control, reason: str) -> None:
    assert said(State.RUNNING, {"worker": "w", "is_held": True, "claimed_at": NOW}, control=control).reason == reason


def test_a_running_job_whose_lease_ran_out_waits_for_another_worker() -> None:
    told = said(State.RUNNING, {"worker": "w", "claimed_at": NOW})
    assert told.reason == "worker_silent"
    assert "behind row 100" in told.message


def test_a_paused_job_tells_what_resuming_does() -> None:
    told = said(State.PAUSED, {"paused_at": NOW})
    assert told.reason == "paused_by_user"
    assert "since 2026-01-01 12:00:00 UTC, after 100 rows" in told.message
    assert told.suggestion
    assert "/resume goes on behind row 100" in told.suggestion


def test_a_failed_job_hands_on_its_problem_and_tells_what_a_retry_does() -> None:
    told = said(State.FAILED, problem=PROBLEM)
    assert (told.reason, told.problem) == ("failed", PROBLEM)
    assert told.suggestion
    assert told.suggestion.startswith("Nothing to do. POST /v1/jobs/")
    assert "/retry goes on behind row 100; with ?from=start it takes its rows back first." in told.suggestion


def test_a_retry_of_a_job_without_rows_begins_at_the_start() -> None:
    told = said(State.FAILED, problem=PROBLEM, counts=NO_ROWS)
    assert told.suggestion
    assert told.suggestion.endswith("/retry goes on from the start.")


@pytest.mark.parametrize(
    ("outcome", "counts", "reason", "message"),
    [
        (
            Outcome.COMPLETE,
            Counts(read=1, inserted=1),
            "completed",
            "It read the whole file: 1 row stored, none refused.",
        ),
        (
            Outcome.PARTIAL,
            Counts(read=3, inserted=2, rejected=1),
            "completed_with_rejects",
            "It read the whole file: 2 of 3 rows stored, 1 refused.",
        ),
        (
            Outcome.NONE,
            Counts(read=3, rejected=3),
            "every_row_rejected",
            "It read the whole file: 0 of 3 rows stored, 3 refused.",
        ),
    ],
)
def test_a_completed_job_tells_its_outcome(outcome: Outcome, counts: Counts, reason: str, message: str) -> None:
    told = said(State.COMPLETED, outcome=outcome, counts=counts)
    assert (told.reason, told.message) == (reason, message)
    assert (told.suggestion is None) == (outcome is Outcome.COMPLETE)


@pytest.mark.parametrize(
    ("counts", "remove_rows", "reason"),
    [
        (Counts(read=5, inserted=5), False, "cancelled_rows_kept"),
        (NO_ROWS, True, "cancelled_rows_removed"),
        (NO_ROWS, False, "cancelled_before_rows"),
    ],
)
def test_a_cancelled_job_tells_what_became_of_its_rows(counts: Counts, remove_rows: bool, reason: str) -> None:
    assert said(State.CANCELLED, {"remove_rows": remove_rows}, counts=counts).reason == reason


def test_a_job_whose_time_has_not_come_tells_it() -> None:
    told = said(State.PENDING, {"run_at": NOW + timedelta(minutes=1)})
    assert told.reason == "scheduled"
    assert "in 60 s" in told.message
    assert said(State.PENDING).reason == "waiting_for_others"
