"""Dates and times as people write them, brought to ISO 8601: 31/01/2024, 1/31/2024 2:05 PM, 31 January 2024.

Whole columns by regular expression where digits only change places; month names and 12-hour clocks text by text.
Two-digit years are left alone, as nothing in a file says which century they mean.
"""

from __future__ import annotations

import re
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Order = Literal["dmy", "mdy", "ymd"]

_CLOCK = r"(?:[ T,]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,6})?)?(?: ?([AaPp])\.?[Mm]\.?)?)?"
_ZONE = r" ?(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})?"
_MARK = r"[/. -]"
_ENDING = rf"{_CLOCK}{_ZONE}$"
_DAY_FIRST = re.compile(r"^([0-9]{1,2})(?:st|nd|rd|th)?[ -]([A-Za-z]{3,9})\.?,?[ -]([0-9]{4})" + _ENDING)
_MONTH_FIRST = re.compile(r"^([A-Za-z]{3,9})\.? ([0-9]{1,2})(?:st|nd|rd|th)?,? ([0-9]{4})" + _ENDING)
_DIGITS: dict[Order, re.Pattern[str]] = {
    "dmy": re.compile(rf"^([0-9]{{1,2}})({_MARK})([0-9]{{1,2}})\2([0-9]{{4}})" + _ENDING),
    "mdy": re.compile(rf"^([0-9]{{1,2}})({_MARK})([0-9]{{1,2}})\2([0-9]{{4}})" + _ENDING),
    "ymd": re.compile(rf"^([0-9]{{4}})({_MARK})([0-9]{{1,2}})\2([0-9]{{1,2}})" + _ENDING),
}
_QUICK: dict[Order, tuple[str, str]] = {
    "dmy": (r"^([0-9]{2})/([0-9]{2})/([0-9]{4})", r"\3-\2-\1"),
    "mdy": (r"^([0-9]{2})/([0-9]{2})/([0-9]{4})", r"\3-\1-\2"),
    "ymd": (r"^([0-9]{4})/([0-9]{2})/([0-9]{2})", r"\1-\2-\3"),
}
ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}($|[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$)"
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


def in_iso(cells: pa.Array, order: Order) -> pa.Array:
    """Each date or time in ISO 8601; what is none stays as it is."""
    pattern, places = _QUICK[order]
    swapped = pc.replace_substring_regex(cells, pattern, places)
    done = pc.match_substring_regex(swapped, ISO)
    if pc.all(done).as_py() is not False:
        return swapped
    distinct = cells.dictionary_encode()
    texts = [text if text is None else iso_of(text, order) or text for text in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)


def iso_of(text: str, order: Order) -> str | None:
    """One date or time in ISO 8601, None if it is none."""
    if found := _DAY_FIRST.match(text):
        day, name, year, *clock = found.groups()
        return _joined(year, _month(name), day, clock)
    if found := _MONTH_FIRST.match(text):
        name, day, year, *clock = found.groups()
        return _joined(year, _month(name), day, clock)
    if found := _DIGITS[order].match(text):
        a, _, b, c, *clock = found.groups()
        year, month, day = {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[order]
        return _joined(year, month, day, clock)
    return None


def _joined(year: str, month: str | None, day: str, clock: list[str | None]) -> str | None:
    hour, minute, second, fraction, half, zone = clock
    if month is None or not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31 or (zone and hour is None):
        return None
    date = f"{year}-{month:0>2}-{day:0>2}"
    if hour is None:
        return date
    if half:
        if not 1 <= int(hour) <= 12:
            return None
        hour = str(int(hour) % 12 + (12 if half in "Pp" else 0))
    zone = "Z" if zone in ("UTC", "GMT") else zone or ""
    return f"{date} {hour:0>2}:{minute}:{second or '00'}{fraction or ''}{zone}"


def _month(name: str) -> str | None:
    short = name.lower()
    found = [number for number, month in enumerate(_MONTHS, 1) if month == short or month[:3] == short]
    return str(found[0]) if found else ("9" if short == "sept" else None)
