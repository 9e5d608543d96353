"""The estimate of a job's end promises no more than is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import eta
from service.domain.eta import Eta
from service.domain.ids import new_id
from service.domain.job import DEFAULT_RETRY, FINAL, Control, Counts, Job, Progress, State


def job(done: int = 500, total: int | None = 1_000, read: int = 100, rate: float | None = 10, **fields: Any) -> Job:
    """A running job, by default half done with 100 rows at 10 rows/s: 10 s to go."""
    running = Job(
        id=new_id(),
        account_id=new_id(),
        processor="csv",
        queue="cpu",
        state=State.RUNNING,
        outcome=None,
        priority=5,
        upload_id=None,
        dataset=None,
        options={},
        metadata={},
        attempt=1,
        retry=DEFAULT_RETRY,
        input={},
        output=None,
        flow_id=None,
        step=None,
        event_seq=10,
        progress=Progress(done, total, "bytes", "importing", None, rate),
        counts=Counts(read=read, inserted=read),
        problem=None,
        control=None,
        cancel_requested_at=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        finished_at=None,
    )
    return replace(running, **fields)


def test_a_steady_job_is_estimated_by_its_pace() -> None:
    assert eta.of(job()) == Eta(8, 13)


def test_the_interval_is_wider_early() -> None:
    assert eta.of(job(done=40, read=10, rate=1)) == Eta(120, 600)
    assert eta.of(job(done=60, read=10, rate=1)) == Eta(125, 204)


def test_rows_of_earlier_attempts_say_how_long_a_row_is_but_not_how_fast_this_attempt_is() -> None:
    resumed = job(done=900, read=180, rate=2)
    assert eta.of(resumed) == Eta(8, 13)


def test_the_estimate_is_unknown_until_the_second_chunk() -> None:
    assert eta.of(job(event_seq=3)) is None
    assert eta.of(job(event_seq=4)) is not None


@pytest.mark.parametrize("unknown", [{"total": None}, {"rate": None}, {"rate": 0.0}, {"done": 0}, {"read": 0}])
def test_the_estimate_is_unknown_without_total_pace_or_rows(unknown: dict[str, Any]) -> None:
    assert eta.of(job(**unknown)) is None


@pytest.mark.parametrize("control", Control)
def test_a_job_that_is_asked_to_stop_or_restart_has_no_estimate(control: Control) -> None:
    assert eta.of(job(control=control)) is None


@pytest.mark.parametrize("state", sorted(set(State) - FINAL - {State.RUNNING}))
def test_a_waiting_job_has_no_estimate(state: State) -> None:
    assert eta.of(job(state=state)) is None


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_ended_job_has_nothing_left(state: State) -> None:
    assert eta.of(job(state=state, rate=None)) == Eta(0, 0)


@given(
    done=st.integers(1, 10**12),
    total=st.integers(0, 10**12),
    read=st.integers(1, 10**10),
    rate=st.floats(1e-3, 1e8),
)
def test_low_never_exceeds_high_and_neither_is_negative(done: int, total: int, read: int, rate: float) -> None:
    found = eta.of(job(done=done, total=total, read=read, rate=rate))
    assert found is not None
    assert 0 <= found.low <= found.high


def test_a_file_read_to_its_end_has_nothing_left() -> None:
    assert eta.of(job(done=1_000)) == Eta(0, 0)
