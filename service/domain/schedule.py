"""A schedule: a cron expression in a time zone, and the job that each of its slots brings. Pure: `now` is an argument.

A slot is a moment that the expression names. Summer time is treated as Debian's cron does: a fixed time that is skipped
in spring comes right after the gap, one that would come twice in autumn comes the first time only; with a `*` at the
start of minute or hour, slots follow the clock as it really ticks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import dropwhile, islice, takewhile
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from service.domain.errors import InputError
from service.domain.job import Retry

LATE_S = 60
"""A slot is missed once it is later than this, a cron expression's own resolution."""

MAX_CATCH_UP = 100
"""Missed slots that `run_all` makes up for; the latest ones."""

MAX_SCHEDULES = 1_000
"""Schedules that one account may have."""

EXAMPLE = "For example 30 2 * * MON-FRI: at 02:30 on working days."

FIELDS = {
    "minute": "0–59",
    "hour": "0–23",
    "day-of-month": "1–31, L for the last day, LW for the last working day",
    "month": "1–12 or JAN–DEC",
    "day-of-week": "0–7 or SUN–SAT (0 and 7 are Sunday), MON#1 for the first Monday, 5L for the last Friday",
}
"""The five fields of a cron expression, in order, and what may stand in them."""

OF_ONE_MACHINE = frozenset({"localtime", "Factory"})
"""Names among the time zones that mean something else on every machine, or nothing."""


class Missed(StrEnum):
    """What becomes of slots at which no worker ran."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class Overlap(StrEnum):
    """What a slot does while the last job of its schedule is live."""

    ALLOW = "allow"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Template:
    """What each job of a schedule is made of, checked against the catalogue when it was written."""

    processor: str
    queue: str
    unit: str
    upload_id: UUID | None
    dataset: str | None
    options: Mapping[str, Any]
    priority: int
    metadata: Mapping[str, Any]
    dedupe_key: str | None
    input: Mapping[str, Any]
    retry: Retry


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as stored. `next_run_at` is None while it is paused, and when no further slot comes."""

    id: UUID
    account_id: UUID
    name: str
    cron: str
    time_zone: str
    job: Template
    missed: Missed
    overlap: Overlap
    paused: bool
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_job_id: UUID | None
    last_problem: Mapping[str, str] | None
    created_at: datetime


def template_to_json(template: Template) -> dict[str, Any]:
    """Write a template as stored."""
    return asdict(template) | {"upload_id": None if template.upload_id is None else str(template.upload_id)}


def template_from_json(stored: Mapping[str, Any]) -> Template:
    """Read back what `template_to_json` wrote."""
    upload_id = stored["upload_id"]
    read = {"upload_id": None if upload_id is None else UUID(upload_id), "retry": Retry(**stored["retry"])}
    return Template(**{**stored, **read})


def slots(cron: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """Every slot behind `after`, in UTC, strictly rising; ends when none comes for 50 years. Raises InputError."""
    last = after
    for slot in _ticks(cron, after.astimezone(_zone(time_zone))):
        # why: around a change of the clocks cronsim may name one moment twice, or one that lies before the start
        if (at := slot.astimezone(UTC)) > last:
            last = at
            yield at


def first_slot(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """The first slot behind `after`, in UTC, or None."""
    return next(slots(cron, time_zone, after), None)


def upcoming(schedule: Schedule, count: int) -> list[datetime]:
    """Its next slots, in UTC; none while it is paused."""
    if schedule.next_run_at is None:
        return []
    start = schedule.next_run_at - timedelta(seconds=1)
    return list(islice(slots(schedule.cron, schedule.time_zone, start), count))


def due_slots(schedule: Schedule, now: datetime) -> list[datetime]:
    """The slots to run now, oldest first: what is due and what its policy makes up for. Raises InputError."""
    if schedule.next_run_at is None or schedule.next_run_at > now:
        return []
    match schedule.missed:
        case Missed.SKIP:
            since = max(schedule.next_run_at, now - timedelta(seconds=LATE_S))
            return _latest(schedule, since, now, MAX_CATCH_UP)
        case Missed.RUN_ONCE:
            return _latest(schedule, schedule.next_run_at, now, 1)
        case Missed.RUN_ALL:
            return _latest(schedule, schedule.next_run_at, now, MAX_CATCH_UP)


def checked_cron(cron: str) -> str:
    """Return the expression with single spaces. Raises InputError, which says which field is at fault."""
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise InputError(
            "invalid_cron",
            f"{cron!r} has {len(fields)} fields; a cron expression has five: {', '.join(FIELDS)}.",
            suggestion=EXAMPLE,
        )
    for number, (name, allowed) in enumerate(FIELDS.items()):
        alone = ["*" if place != number else field for place, field in enumerate(fields)]
        try:
            CronSim(" ".join(alone), datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError:
            raise InputError(
                "invalid_cron",
                f"{fields[number]!r} cannot be the {name} of a cron expression.",
                suggestion=f"Use {allowed}; *, lists (1,2), ranges (1-5) and steps (*/5) work too. {EXAMPLE}",
            ) from None
    return " ".join(fields)


def checked_zone(name: str) -> str:
    """Return `name` if it is a time zone. Raises InputError, which names those that come near."""
    if name in _zones():
        return name
    known = {zone.lower(): zone for zone in _zones()}
    near = [known[found] for found in difflib.get_close_matches(name.lower(), known, n=3)]
    raise InputError(
        "unknown_time_zone",
        f"There is no time zone {name!r}.",
        suggestion=f"Did you mean {' or '.join(near)}?" if near else "Use a name such as Europe/Berlin, or UTC.",
    )


def _latest(schedule: Schedule, since: datetime, now: datetime, count: int) -> list[datetime]:
    """The latest `count` slots in since…now. Looks back in growing steps, as an outage may span very many slots."""
    width = timedelta(hours=1)
    while True:
        start = max(since, now - width)
        behind = slots(schedule.cron, schedule.time_zone, start - timedelta(seconds=1))
        reached = dropwhile(lambda slot: slot < start, behind)  # noqa: B023  used up before `start` changes
        found = list(takewhile(lambda slot: slot <= now, reached))
        if len(found) >= count or start == since:
            return found[-count:]
        width *= 2


def _ticks(cron: str, start: datetime) -> Iterator[datetime]:
    try:
        yield from CronSim(cron, start)
    except CronSimError as error:
        raise InputError("invalid_cron", f"{cron!r} names no day that exists: {error}.", suggestion=EXAMPLE) from error


def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(checked_zone(name))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - OF_ONE_MACHINE)
