"""What ends an attempt decides what becomes of its job."""

from __future__ import annotations

import asyncpg
import pytest

from service.domain.errors import AccessError, InputError, NotFound, Occupied, QuotaError, TooLarge, Transient
from service.domain.event import EventType
from service.domain.job import TRANSITIONS, Retry, State
from workers import outcome


def sql_error(sqlstate: str) -> BaseException:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": "broken"})


TRANSIENT = [
    Transient("busy", "Busy."),
    ConnectionResetError(),
    TimeoutError(),
    asyncpg.InterfaceError("connection is closed"),
    *(sql_error(state) for state in ("08006", "40001", "40P01", "53100", "53300", "57P01", "57P03")),
]
BUGS = [ValueError("oops"), KeyError("x"), RuntimeError(), *(sql_error(state) for state in ("42P01", "23505", "22P02"))]


@pytest.mark.parametrize("error", [InputError("x", "X."), TooLarge("x", "X."), NotFound("job", 1)], ids=repr)
def test_bad_input_fails_at_the_first_try(error: BaseException) -> None:
    settlement = outcome.of(error, 1, Retry())
    assert (settlement.state, settlement.event) == (State.FAILED, EventType.FAILED)
    assert not settlement.costs_attempt


def test_a_job_that_waits_for_another_loses_no_try() -> None:
    settlement = outcome.of(Occupied("dataset_busy", "Taken.", retry_after_s=4), 3, Retry(max_attempts=3))
    assert (settlement.state, settlement.costs_attempt, settlement.wait_s) == (State.RETRYING, False, 4)
    assert settlement.problem == {"code": "dataset_busy", "message": "Taken."}


def test_the_problem_of_bad_input_is_that_of_its_error() -> None:
    told = outcome.of(InputError("code", "Broke.", suggestion="Mend it."), 1, Retry()).problem
    assert told == {"code": "code", "message": "Broke.", "suggestion": "Mend it."}


@pytest.mark.parametrize("error", [AccessError("forbidden", "No."), QuotaError("quota_exceeded", "Full.")], ids=repr)
def test_other_errors_of_ours_fail_too(error: BaseException) -> None:
    assert outcome.of(error, 1, Retry()).state is State.FAILED


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_what_may_soon_be_gone_is_tried_again(error: BaseException) -> None:
    settlement = outcome.of(error, 1, Retry())
    assert outcome.is_transient(error)
    assert (settlement.state, settlement.event) == (State.RETRYING, EventType.RETRYING)
    assert settlement.costs_attempt
    assert settlement.problem is not None
    assert "incident" not in settlement.problem


@pytest.mark.parametrize("error", BUGS, ids=repr)
def test_a_bug_is_tried_again_under_an_incident_number_and_without_its_text(error: BaseException) -> None:
    settlement = outcome.of(error, 1, Retry())
    assert not outcome.is_transient(error)
    assert settlement.state is State.RETRYING
    assert settlement.problem is not None
    assert settlement.problem["code"] == "internal_error"
    assert settlement.problem["incident"] in settlement.problem["message"]
    assert "oops" not in str(settlement.problem)


@pytest.mark.parametrize("error", [TRANSIENT[0], BUGS[0]], ids=repr)
@pytest.mark.parametrize(("attempt", "state"), [(1, State.RETRYING), (2, State.RETRYING), (3, State.FAILED)])
def test_the_last_try_fails(error: BaseException, attempt: int, state: State) -> None:
    assert outcome.of(error, attempt, Retry()).state is state


def test_the_wait_grows_twofold_and_has_a_limit() -> None:
    waits = {n: [outcome.of(OSError(), n, Retry(max_attempts=100)).wait_s for _ in range(300)] for n in (1, 2, 5, 50)}
    assert all(0 <= wait <= 2 for wait in waits[1])
    assert 2 < max(waits[2]) <= 4
    assert 16 < max(waits[5]) <= 32
    assert 32 < max(waits[50]) <= Retry().longest_wait_s


def test_jobs_that_fail_together_do_not_come_back_together() -> None:
    assert len({outcome.of(OSError(), 1, Retry()).wait_s for _ in range(20)}) == 20


def test_a_wait_that_was_asked_for_is_kept_to() -> None:
    assert outcome.of(Transient("busy", "Busy.", retry_after_s=17), 1, Retry()).wait_s == 17


@pytest.mark.parametrize("error", [*TRANSIENT, *BUGS, InputError("x", "X.")], ids=repr)
@pytest.mark.parametrize("attempt", [1, 3])
def test_every_outcome_is_a_move_that_a_running_job_may_make(error: BaseException, attempt: int) -> None:
    assert outcome.of(error, attempt, Retry()).state in TRANSITIONS[State.RUNNING]
