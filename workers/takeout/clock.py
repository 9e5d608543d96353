"""The clock of one page: its moments, in its language and the zone that each entry names."""

from __future__ import annotations

from datetime import datetime, tzinfo

from workers.evidence import Evidence
from workers.takeout import dates
from workers.takeout.zones import Zone, zone_of

KEPT = 1_000
"""Days that are remembered."""
LONGEST = 100
"""Characters of a moment that is."""
_TWO_DIGITS = {f"{number:02}": number for number in range(60)}
_DIGITS = {str(number): number for number in range(10)}

Around = tuple[str, int, str]
"""What is in front of the hour, the hour's digits, and what is behind the second."""


class Clock:
    """Reads moments. Those of one day differ in the digits of hour, minute and second, so the rest is read once."""

    def __init__(self, tz: str | None, locale: int | str | None) -> None:
        self._tz = tz
        self._language = next((found for found in dates.languages() if locale in found.locales), None)
        self._zones: dict[str | None, Zone] = {}
        self._days: dict[Around, tuple[int, int, int, bool | None, tzinfo]] = {}

    def read(self, text: str) -> datetime | None:
        """The moment of a text, with its zone; None if it is none. Raises InputError if the zone is not known."""
        if (found := _taken_apart(text)) is None:
            return self._read(text)
        around, hour, minute, second = found
        if (day := self._days.get(around)) is None:
            at = self._read(text)
            if at is not None:
                self._remember(around, text, at)
            return at
        year, month, date, is_afternoon, tz = day
        if is_afternoon is not None:
            if not 1 <= hour <= 12:
                return self._read(text)
            hour = hour % 12 + 12 * is_afternoon
        elif hour > 23:
            return self._read(text)
        return datetime(year, month, date, hour, minute, second, 0, tz)

    def evidence(self) -> list[Evidence]:
        """What the zones met so far were taken for, and by which rules."""
        zones = dict.fromkeys(self._zones.values())
        return [Evidence("tz", str(zone.tz), zone.confidence, zone.rule) for zone in zones]

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
        is_certain = not dates.plain(front + "|")[-2:-1].isdigit() and _taken_apart(plain) is not None
        if not is_certain or self._language is None or self._language.read(plain) is None:
            return
        if len(self._days) >= KEPT:
            self._days.clear()
        is_afternoon = at.hour >= 12 if self._language.has_halves else None
        assert at.tzinfo is not None
        self._days[around] = (at.year, at.month, at.day, is_afternoon, at.tzinfo)


def _taken_apart(text: str) -> tuple[Around, int, int, int] | None:
    """A text without its hour, minute and second, and these; None where they are not two colons' neighbours."""
    parts = text.split(":")
    if len(parts) != 3 or len(text) > LONGEST:
        return None
    front, minute_text, back = parts
    minute, second = _TWO_DIGITS.get(minute_text), _TWO_DIGITS.get(back[:2])
    hour, digits = _TWO_DIGITS.get(front[-2:]), 2
    if hour is None:
        hour, digits = _DIGITS.get(front[-1:]), 1
    if hour is None or minute is None or second is None:
        return None
    return (front[:-digits], digits, back[2:]), hour, minute, second
