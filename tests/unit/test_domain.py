"""Labels, names, ids, states and progress: the words of the domain keep their promises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import errors
from service.domain.chunk import Column, ColumnType
from service.domain.dataset import checked_name, columns_from_json, columns_to_json, table_name
from service.domain.errors import InputError, MillraceError
from service.domain.event import TERMINAL, EventType
from service.domain.ids import new_id
from service.domain.job import FINAL, TRANSITIONS, Progress, State
from service.domain.upload import NAME_LIMIT, label

POSTGRES_NAME_BYTES = 63


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("people.csv", "people.csv"),
        ("/srv/ada/people.csv", "people.csv"),
        ("C:\\Users\\ada\\people.csv", "people.csv"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\nc\x1b[31m.csv", "abc[31m.csv"),
        ("gnp\u202efdp.exe", "gnpfdp.exe"),
        ("  spaced .csv ", "spaced .csv"),
        ("Zoë 人.csv", "Zoë 人.csv"),
        ("", "unnamed"),
        (None, "unnamed"),
        ("folder/", "unnamed"),
        ("\u200b", "unnamed"),
    ],
)
def test_a_label_is_the_last_part_of_a_name_fit_to_show(name: str | None, shown: str) -> None:
    assert label(name) == shown


@given(st.text())
def test_no_label_is_empty_long_or_a_path(name: str) -> None:
    shown = label(name)
    assert 1 <= len(shown) <= NAME_LIMIT
    assert not set(shown) & set("/\\\0\n\r\u202e")


@pytest.mark.parametrize("name", ["a", "contacts", "a1_b", "x" * 48])
def test_a_plain_word_may_name_a_dataset(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "1a", "_a", "a-b", "a.b", "a b", "x" * 49, "ä", "a\n", "a;drop", "../a"])
def test_anything_else_may_not(name: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_name(name)
    assert refused.value.code == "invalid_dataset_name"
    assert refused.value.suggestion


@given(st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True))
def test_a_table_name_tells_its_dataset_and_fits_postgresql(name: str) -> None:
    table = table_name(checked_name(name), new_id())
    assert table.startswith(name)
    assert len(table.encode()) <= POSTGRES_NAME_BYTES


def test_two_datasets_of_one_name_have_different_tables() -> None:
    assert len({table_name("a", new_id()) for _ in range(10_000)}) == 10_000


def test_columns_come_back_as_they_were_written() -> None:
    columns = (*(Column(kind.value, kind) for kind in ColumnType), Column("price", ColumnType.NUMERIC, 2))
    assert columns_from_json(columns_to_json(columns)) == columns


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1_000


def test_an_id_tells_when_it_was_made() -> None:
    before_ms, made, after_ms = time.time_ns() // 10**6, new_id(), time.time_ns() // 10**6
    assert made.version == 7
    assert before_ms <= made.int >> 80 <= after_ms


def test_every_state_has_its_moves() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(state not in followers for state, followers in TRANSITIONS.items())


def test_a_final_state_is_left_only_to_be_run_again() -> None:
    assert all(TRANSITIONS[state] <= {State.QUEUED, State.PENDING} for state in FINAL)
    assert TRANSITIONS[State.COMPLETED] == frozenset()


def test_only_a_running_job_completes_and_only_a_queued_one_starts() -> None:
    assert [s for s in State if State.COMPLETED in TRANSITIONS[s]] == [State.RUNNING]
    assert [s for s in State if State.RUNNING in TRANSITIONS[s]] == [State.QUEUED]


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_an_end(state: State) -> None:
    reached, following = {state}, set(TRANSITIONS[state])
    while following - reached:
        reached |= following
        following = set().union(*(TRANSITIONS[s] for s in following))
    assert reached & FINAL


def test_every_final_state_has_its_event() -> None:
    assert {event.value for event in TERMINAL} == {f"job.{state}" for state in FINAL}
    assert set(EventType) > TERMINAL


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 10, 0), (1, 3, 33.33), (10, 10, 100), (11, 10, 100), (0, 0, 100), (5, None, None)],
)
def test_progress_is_between_0_and_100_or_unknown(done: int, total: int | None, percent: float | None) -> None:
    assert Progress(done, total, "bytes", "importing", None, None).percent == percent


def test_every_error_is_in_the_tree_that_its_module_shows() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MillraceError)]
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
