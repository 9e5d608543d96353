"""How the values of a column are written where that is not the plain way: null words, marks in numbers, order of dates.

The plain way is a decimal point, no thousands mark, ISO 8601 dates, and only emptiness for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Format:
    """`nulls` are the words that mean nothing, `decimal` and `thousands` the marks in numbers ("" for none).

    `dates` is the order of the parts of dates and times, "" for ISO 8601.
    """

    nulls: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: str = ""
    dates: Literal["", "dmy", "mdy", "ymd"] = ""


PLAIN = Format()


def dumped(formats: Iterable[Format]) -> str:
    """Formats of columns as text for a cursor."""
    return json.dumps([asdict(entry) for entry in formats])


def loaded(text: str) -> tuple[Format, ...]:
    """Formats from a cursor."""
    return tuple(Format(**{**entry, "nulls": tuple(entry["nulls"])}) for entry in json.loads(text))
