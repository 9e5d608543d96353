"""The clock of one page: its moments, in its language and the zone that each entry names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timezone, tzinfo
from typing import NamedTuple

from workers.evidence import Evidence
from workers.takeout import dates
from workers.takeout.zones import Zone, zone_of

KEPT = 1_000
"""Days that are remembered."""
LONGEST = 100
"""Characters of a moment that is."""

Hours = Mapping[str, int]
"""An hour as it is written, and the seconds before it in its day."""

_SIXTY = {f"{number:02}": number for number in range(60)}
_MINUTES = {written: 60 * number for written, number in _SIXTY.items()}
_WHOLE_DAY = {written: 3600 * hour for hour in range(24) for written in (f"{hour}", f"{hour:02}")}
_MORNING = {written: 3600 * (hour % 12) for hour in range(1, 13) for written in (f"{hour}", f"{hour:02}")}
_AFTERNOON = {written: seconds + 12 * 3600 for written, seconds in _MORNING.items()}
_APART = re.compile(r"^(?:([^:\n]*?)(\d\d?):(\d\d):(\d\d)([^:\n]*)|.*)$", re.ASCII | re.MULTILINE)
"""Lines in parts: what is in front of the hour, hour, minute, second, the rest; no parts without two colons there."""

Around = tuple[str, int, str]
"""What is in front of the hour, how many digits that has, and what is behind the second."""


class Day(NamedTuple):
    """A day's first second since 1970: in UTC, or else by the clock of the zone `tz`, whose offset changes."""

    midnight: int
    hours: Hours
    tz: tzinfo | None


class Clock:
    """Reads moments. Those of one day differ in the digits of hour, minute and second, so the rest is read once."""

    def __init__(self, tz: str | None, locale: int | str | None) -> None:
        self._tz = tz
        self._language = next((found for found in dates.languages() if locale in found.locales), None)
        self._zones: dict[str | None, Zone] = {}
        self._days: dict[Around, Day] = {}

    def read(self, texts: Sequence[str]) -> list[int | None]:
        """The moments of texts, in seconds since 1970; None if one is none. Raises InputError: its zone is unknown."""
        lines = "\n".join(texts)
        if lines.count("\n") >= len(texts):  # one of them has lines of its own
            return [self._second(text) for text in texts]
        return [self._on_its_day(text, *parts) for text, parts in zip(texts, _APART.findall(lines), strict=True)]

    def evidence(self) -> list[Evidence]:
        """What the zones met so far were taken for, and by which rules."""
        zones = dict.fromkeys(self._zones.values())
        return [Evidence("tz", str(zone.tz), zone.confidence, zone.rule) for zone in zones]

    def _on_its_day(self, text: str, front: str, hour: str, minute: str, second: str, back: str) -> int | None:
        if (day := self._days.get((front, len(hour), back))) is None:
            at = self._read(text)
            if at is not None and hour and len(text) <= LONGEST:
                self._remember((front, len(hour), back), text, at)
            return None if at is None else dates.since_1970(at)
        try:
            seconds = day.midnight + day.hours[hour] + _MINUTES[minute] + _SIXTY[second]
        except KeyError:  # no such time
            return self._second(text)
        return seconds if day.tz is None else dates.since_1970(_written(seconds).replace(tzinfo=day.tz))

    def _second(self, text: str) -> int | None:
        at = self._read(text)
        return None if at is None else dates.since_1970(at)

    def _read(self, text: str) -> datetime | None:
        if self._language is None or (moment := dates.read(text, self._language)) is None:
            return None
        return moment.at.replace(tzinfo=self._zone(moment.zone))

    def _zone(self, name: str | None) -> tzinfo:
        if name not in self._zones:
            locales = self._language.locales if self._language else ()
            self._zones[name] = zone_of(name, locales, self._tz)
        return self._zones[name].tz

    def _remember(self, around: Around, text: str, at: datetime) -> None:
        """Keep a day, if it is certain that hour, minute and second were read where they were taken out.

        Two colons and digits next to them leave the language's form no other place for them, unless a digit is in
        front of the hour; nor does the form look at which digits they are.
        """
        front, _, _ = around
        plain = dates.plain(text)
        is_certain = not dates.plain(front + "|")[-2:-1].isdigit() and _APART.findall(plain)[0][1]
        if not is_certain or self._language is None or self._language.read(plain) is None:
            return
        if len(self._days) >= KEPT:
            self._days.clear()
        hours = _WHOLE_DAY if not self._language.has_halves else _MORNING if at.hour < 12 else _AFTERNOON
        is_fixed = isinstance(at.tzinfo, timezone)
        midnight = at.replace(hour=0, minute=0, second=0, tzinfo=at.tzinfo if is_fixed else UTC)
        self._days[around] = Day(dates.since_1970(midnight), hours, None if is_fixed else at.tzinfo)


def _written(seconds: int) -> datetime:
    """The moment as the clock of a zone shows it."""
    return dates.EPOCH + seconds * dates.SECOND
