"""How the values of a column are written where that is not the plain way: null words, marks in numbers, order of dates.

The plain way is a decimal point, no thousands mark, ISO 8601 dates, and only emptiness for nothing. Text in another
format is brought into the plain way before it is cast; what does not fit the format is left out as wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import ColumnType
from workers.cells import flags
from workers.dates import Order, in_iso

Mask = npt.NDArray[np.bool_]

_NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DOUBLE, ColumnType.NUMERIC})
_TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ})


@dataclass(frozen=True, slots=True)
class Format:
    """`nulls` are the words that mean nothing, `decimal` and `thousands` the marks in numbers ("" for none).

    `dates` is the order of day, month and year in dates and times, "" for ISO 8601. The null words hold for text too
    if they are meant `everywhere`.
    """

    nulls: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: str = ""
    dates: Order | Literal[""] = ""
    everywhere: bool = False

    def of(self, kind: ColumnType) -> Format:
        """What of it matters to a column of this type."""
        if kind in _NUMBERS:
            return replace(self, dates="")
        if kind in _TIMES:
            return replace(self, decimal=".", thousands="")
        return Format(self.nulls if self.everywhere or kind is not ColumnType.TEXT else (), everywhere=self.everywhere)


PLAIN = Format()


def dumped(formats: Iterable[Format]) -> str:
    """Formats of columns as text for a cursor."""
    return json.dumps([asdict(entry) for entry in formats])


def loaded(text: str) -> tuple[Format, ...]:
    """Formats from a cursor."""
    return tuple(Format(**{**entry, "nulls": tuple(entry["nulls"])}) for entry in json.loads(text))


def plain(strings: pa.Array, kind: ColumnType, written: Format) -> tuple[pa.Array, Mask]:
    """The same cells in the plain way, null where a word says so, and which of them are not in the format."""
    cells = strings
    if written.nulls:
        compared = cells if kind is ColumnType.TEXT else pc.ascii_trim(cells, characters=" \t")
        is_null = pc.is_in(compared, pa.array(written.nulls, pa.string()))
        cells = pc.if_else(is_null, pa.scalar(None, pa.string()), cells)
    if kind in _NUMBERS and (written.decimal, written.thousands) != (".", ""):
        return _numbers(pc.ascii_trim(cells, characters=" \t"), written)
    if kind in _TIMES and written.dates:
        cells = in_iso(pc.ascii_trim(cells, characters=" \t"), written.dates)
    return cells, np.zeros(len(cells), bool)


def number_shape(decimal: str, thousands: str) -> str:
    """The regular expression of numbers with these marks; thousands marks stand in all places or in none."""
    point = f"({_literal(decimal)}[0-9]+)?([eE][-+]?[0-9]+)?"
    if not thousands:
        return f"^[-+]?[0-9]+{point}$"
    return f"^[-+]?([0-9]{{1,3}}({_literal(thousands)}[0-9]{{3}})+|[0-9]+){point}$"


def _numbers(cells: pa.Array, written: Format) -> tuple[pa.Array, Mask]:
    right = pc.match_substring_regex(cells, number_shape(written.decimal, written.thousands))
    said = pc.and_(cells.is_valid(), pc.not_equal(cells, ""))
    wrong = pc.and_(said, pc.invert(pc.fill_null(right, True)))
    if written.thousands:
        cells = pc.replace_substring(cells, written.thousands, "")
    if written.decimal == ",":
        cells = pc.replace_substring(cells, ",", ".")
    wrong = pc.fill_null(wrong, False)
    return pc.if_else(wrong, pa.scalar(None, pa.string()), cells), flags(wrong)


def _literal(mark: str) -> str:
    return "[.]" if mark == "." else mark
