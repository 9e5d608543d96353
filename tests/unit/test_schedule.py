"""Slots: which moments a cron expression names in a zone, around changes of the clocks, and after an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import InputError
from service.domain.job import Retry
from service.domain.schedule import (
    MAX_CATCH_UP,
    Missed,
    Overlap,
    Schedule,
    Template,
    checked_cron,
    checked_zone,
    due_slots,
    first_slot,
    slots,
    template_from_json,
    template_to_json,
    upcoming,
)

TEMPLATE = Template(
    "csv", "cpu", "bytes", uuid4(), "contacts", {"header": True}, 5, {"a": [1]}, None, {"in": 1}, Retry(max_attempts=7)
)


def at(text: str) -> datetime:
    """A moment in UTC: `2026-10-25 00:30`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(cron: str, next_run_at: datetime | None, missed: Missed = Missed.RUN_ALL, zone: str = "UTC") -> Schedule:
    return Schedule(
        uuid4(),
        uuid4(),
        "x",
        cron,
        zone,
        TEMPLATE,
        missed,
        Overlap.ALLOW,
        False,
        next_run_at,
        None,
        None,
        None,
        at("2026-01-01"),
    )


def shown(cron: str, zone: str, after: str, count: int = 3) -> list[str]:
    """The next slots behind a moment in UTC, as `25 00:30` in UTC."""
    return [f"{slot:%d %H:%M}" for slot in islice(slots(cron, zone, at(after)), count)]


def test_a_slot_is_a_moment_of_the_clock_on_the_wall() -> None:
    assert shown("30 2 * * *", "Europe/Berlin", "2026-07-01 00:00") == ["01 00:30", "02 00:30", "03 00:30"]
    assert shown("30 2 * * *", "Europe/Berlin", "2026-12-01 00:00") == ["01 01:30", "02 01:30", "03 01:30"]


def test_zones_with_odd_offsets() -> None:
    assert shown("0 9 * * *", "Asia/Kathmandu", "2026-07-01 00:00", 1) == ["01 03:15"]
    assert shown("0 * * * *", "Asia/Kathmandu", "2026-07-01 00:00", 2) == ["01 00:15", "01 01:15"]
    assert shown("0 0 * * *", "America/Sao_Paulo", "2026-07-01 00:00", 1) == ["01 03:00"]


def test_a_slot_lies_strictly_behind_its_start() -> None:
    assert shown("0 9 * * *", "UTC", "2026-07-01 08:59:59.999", 1) == ["01 09:00"]
    assert shown("0 9 * * *", "UTC", "2026-07-01 09:00", 1) == ["02 09:00"]
    assert shown("0 9 * * *", "UTC", "2026-07-01 09:00:00.5", 1) == ["02 09:00"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["27 01:30", "28 01:00", "29 00:30"]),  # 02:30 is skipped: right after the gap, at 03:00
        ("0 3 * * *", ["27 02:00", "28 01:00", "29 01:00"]),
        ("0 2,3 * * *", ["27 01:00", "27 02:00", "28 01:00", "29 00:00"]),  # 02:00 and 03:00 are one moment
        ("15,45 2 * * *", ["27 01:15", "27 01:45", "28 01:00", "29 00:15"]),
    ],
)
def test_a_time_that_spring_skips_comes_once_after_the_gap(cron: str, expected: list[str]) -> None:
    assert shown(cron, "Europe/Berlin", "2027-03-27 00:00", len(expected)) == expected


def test_every_hour_and_half_hour_follow_the_clock_through_spring() -> None:
    assert shown("0 * * * *", "Europe/Berlin", "2027-03-27 23:30", 4) == [
        "28 00:00",
        "28 01:00",
        "28 02:00",
        "28 03:00",
    ]
    assert shown("*/30 * * * *", "Europe/Berlin", "2027-03-28 00:00", 3) == ["28 00:30", "28 01:00", "28 01:30"]


@pytest.mark.parametrize("start", ["2026-10-24 22:00", "2026-10-25 00:00", "2026-10-25 00:29:59"])
def test_a_time_that_comes_twice_in_autumn_counts_the_first_time(start: str) -> None:
    assert shown("30 2 * * *", "Europe/Berlin", start, 2) == ["25 00:30", "26 01:30"]


@pytest.mark.parametrize("start", ["2026-10-25 00:30", "2026-10-25 00:45", "2026-10-25 01:00", "2026-10-25 01:29:59"])
def test_it_does_not_come_again_for_one_who_looks_in_between(start: str) -> None:
    assert shown("30 2 * * *", "Europe/Berlin", start, 2) == ["26 01:30", "27 01:30"]


def test_every_half_hour_comes_in_both_of_autumns_hours() -> None:
    expected = ["25 00:00", "25 00:30", "25 01:00", "25 01:30", "25 02:00"]
    assert shown("*/30 * * * *", "Europe/Berlin", "2026-10-24 23:30", 5) == expected


def change_of_clocks(zone: str) -> list[datetime]:
    """A moment within the day before each change of the clocks of 2026 in a zone, and one quiet moment."""
    noons = [at("2026-01-01 12:00") + timedelta(days=n) for n in range(370)]
    changes = [
        noon for noon, behind in pairwise(noons) if ZoneInfo(zone).utcoffset(noon) != ZoneInfo(zone).utcoffset(behind)
    ]
    return [*changes, at("2026-07-01")]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Africa/Cairo", "Asia/Kathmandu"])
@pytest.mark.parametrize("cron", ["*/20 * * * *", "30 2 * * *", "0 0 * * *", "*/30 0 * * *", "15 */6 * * SUN"])
def test_where_one_starts_to_look_makes_no_difference(cron: str, zone: str) -> None:
    for begin in change_of_clocks(zone):
        run = list(islice(slots(cron, zone, begin - timedelta(days=1)), 200))
        assert run == sorted(set(run))
        assert [first_slot(cron, zone, before) for before in run[:-1]] == run[1:]
        middles = [before + (behind - before) / 2 for before, behind in pairwise(run)]
        assert [first_slot(cron, zone, middle) for middle in middles] == run[1:]


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),  # no seconds
        ("@daily", "1 fields"),
        ("60 * * * *", "'60' cannot be the minute"),
        ("* 24 * * *", "'24' cannot be the hour"),
        ("* * 0 * *", "'0' cannot be the day-of-month"),
        ("* * * 13 *", "'13' cannot be the month"),
        ("* * * * FOO", "'FOO' cannot be the day-of-week"),
        ("*/0 * * * *", "'*/0' cannot be the minute"),
        ("5-1 * * * *", "'5-1' cannot be the minute"),
        ("1,,2 * * * *", "'1,,2' cannot be the minute"),
    ],
)
def test_a_broken_expression_is_refused_with_the_field_at_fault(cron: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_cron(cron)
    assert refused.value.code == "invalid_cron"
    assert says in refused.value.message
    assert "30 2 * * MON-FRI" in str(refused.value.suggestion)


@given(st.lists(st.text("0123456789*/,-#LWMONSUNJAN²٣ß ", max_size=8), min_size=5, max_size=5))
def test_any_text_is_an_expression_or_refused_as_one(fields: list[str]) -> None:
    try:
        cron = checked_cron(" ".join(fields))
        first = first_slot(cron, "Europe/Berlin", at("2026-01-01"))
    except InputError as refused:
        assert refused.code == "invalid_cron"
    else:
        assert first is None or first > at("2026-01-01")


def test_a_day_that_no_month_has_is_refused_and_one_that_never_comes_has_no_slot() -> None:
    with pytest.raises(InputError, match="no day that exists"):
        first_slot("0 0 31 2 *", "UTC", at("2026-01-01"))
    assert first_slot("* * */20 * 1L", "UTC", at("2020-01-01")) is None


def test_an_expression_is_kept_with_single_spaces() -> None:
    assert checked_cron("  30\t2  * *  mon ") == "30 2 * * mon"


@pytest.mark.parametrize(
    ("name", "near"),
    [("Europe/Berln", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("America/New York", "America/New_York")],
)
def test_an_unknown_zone_is_refused_with_those_that_come_near(name: str, near: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_zone(name)
    assert refused.value.code == "unknown_time_zone"
    assert near in str(refused.value.suggestion)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "/etc/localtime", "localtime", "Europe", "a\x00b", "\ud800", "?" * 64]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        checked_zone(name)


def test_a_schedule_shows_its_next_slots_from_the_stored_one_on() -> None:
    assert upcoming(schedule("0 9 * * *", at("2026-07-01 09:00")), 2) == [
        at("2026-07-01 09:00"),
        at("2026-07-02 09:00"),
    ]
    assert upcoming(schedule("0 9 * * *", None), 2) == []


@pytest.mark.parametrize("missed", Missed)
def test_a_slot_runs_on_time_under_every_policy(missed: Missed) -> None:
    due = at("2026-07-01 09:00")
    hourly = schedule("0 * * * *", due, missed)
    assert due_slots(hourly, due - timedelta(microseconds=1)) == []
    assert due_slots(hourly, due) == [due]
    assert due_slots(hourly, due + timedelta(seconds=59.9)) == [due]


def test_after_an_outage_each_policy_makes_up_for_what_it_says() -> None:
    due, now = at("2026-07-01 09:00"), at("2026-07-01 12:20")
    hours = [due + timedelta(hours=n) for n in range(4)]
    assert due_slots(schedule("0 * * * *", due, Missed.SKIP), now) == []
    assert due_slots(schedule("0 * * * *", due, Missed.RUN_ONCE), now) == hours[-1:]
    assert due_slots(schedule("0 * * * *", due, Missed.RUN_ALL), now) == hours


def test_a_slot_that_has_just_come_is_not_missed() -> None:
    due, now = at("2026-07-01 09:00"), at("2026-07-01 12:00:05")
    assert due_slots(schedule("0 * * * *", due, Missed.SKIP), now) == [at("2026-07-01 12:00")]


def test_the_latest_slots_are_made_up_for_and_not_all_of_a_year() -> None:
    now = at("2026-07-01 12:00")
    late = due_slots(schedule("* * * * *", at("2025-07-01")), now)
    assert late == [now - timedelta(minutes=n) for n in reversed(range(MAX_CATCH_UP))]
    months = due_slots(schedule("0 0 1 * *", at("2025-08-01")), now)
    assert [month.month for month in months] == [8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 7]


def test_an_outage_over_a_change_of_the_clocks_misses_and_doubles_nothing() -> None:
    daily = schedule("30 2 * * *", at("2026-10-24 00:30"), zone="Europe/Berlin")
    assert due_slots(daily, at("2026-10-26 12:00")) == [
        at("2026-10-24 00:30"),
        at("2026-10-25 00:30"),
        at("2026-10-26 01:30"),
    ]


def test_a_paused_schedule_has_nothing_due() -> None:
    assert due_slots(schedule("* * * * *", None), at("2026-07-01")) == []


def test_a_template_comes_back_as_it_was_written() -> None:
    assert template_from_json(template_to_json(TEMPLATE)) == TEMPLATE
