"""How the columns of a file are written, by all their values in a sample: null words, number marks, order of dates.

A format is believed only where it makes the column typed and nothing else would. What could be read in two ways stays
text, unless another column of the file or the caller decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from workers import formats
from workers.casting import cast
from workers.dates import ISO, Order, iso_of
from workers.evidence import Evidence
from workers.formats import PLAIN, Format, number_shape
from workers.inference import judge

_NULL_WORDS = pa.array(
    [
        "na",
        "n/a",
        "#n/a",
        "n.a.",
        "null",
        "(null)",
        "<null>",
        "none",
        "nil",
        "\\n",
        "-",
        "--",
        "nan",
        "#null!",
        "missing",
    ]
)
ENOUGH = 0.95
"""The share of values that must be in a format, one of at least FEW put aside; the others become rejects."""
FEW = 5
VALUES, JUDGED = 5_000, 1_000
"""Cells of a column that are looked at, but for null words."""

_MARKS: tuple[tuple[str, str], ...] = (
    (".", ","), (",", "."), (",", " "), (",", "\xa0"), (",", "\u202f"), (".", "'"), (".", "’"), (".", " "),
    (".", "\xa0"), (",", "'"), (",", ""),
)  # fmt: skip
_DAY = Column("", ColumnType.DATE)
_LIKE_A_NUMBER = r"^[-+]?[0-9][-+0-9.,'’eE \x{A0}\x{202F}]*$"
_UNCLEAR = r"^[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}$"
_DATE = re.compile(r"([0-9]{1,4})([/. -])([0-9]{1,2})\2([0-9]{1,4})(?=$|[ T,])")
_NAMED = re.compile(r"[0-9A-Za-z]{1,9}[ .-]{1,2}[0-9A-Za-z]{1,9}[ .,-]{1,2}[0-9]{4}")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says of all columns; None means: look at the values."""

    nulls: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    dates: Order | None = None


NO_WISHES = Wishes()


def recognise(strings: pa.Array, wishes: Wishes = NO_WISHES) -> tuple[Format, pa.Array, list[Evidence]]:
    """The format of a column's cells, those cells in the plain way, and why. Null and empty cells say nothing.

    Where no format makes the column typed, it is plain and the cells are as they were.
    """
    trimmed = pc.ascii_trim(strings, characters=" \t")
    trimmed = trimmed.filter(pc.not_equal(trimmed, ""))
    is_null = _null_words(trimmed, wishes)
    rest = trimmed.filter(pc.invert(is_null)).slice(0, VALUES)
    asked = Format(nulls=wishes.nulls or (), everywhere=wishes.nulls is not None)
    if len(rest) == 0:
        return asked, strings, []
    format_found = (PLAIN, list[Evidence]()) if _is_typed(rest) else _number(rest, wishes) or _date(rest, wishes)
    if format_found is None:
        return asked, strings, []
    found, evidence = format_found
    words = tuple(sorted(set(trimmed.filter(is_null).unique().to_pylist()) | set(wishes.nulls or ())))
    written = replace(asked, nulls=words, decimal=found.decimal, thousands=found.thousands, dates=found.dates)
    if words and wishes.nulls is None:
        evidence.append(Evidence("nulls", words, 0.9, "words in a column of other values"))
    return written, _cleaned(strings, written), evidence


def recognise_all(
    columns: list[pa.Array], names: list[str], wishes: Wishes
) -> tuple[tuple[Format, ...], list[pa.Array], list[Evidence]]:
    """The same for all columns of a file; what one makes clear holds for those that could be read in two ways."""
    found = [recognise(column, wishes) for column in columns]
    orders = {entry.dates for entry, _, _ in found if entry.dates in ("dmy", "mdy")}
    decimals = {entry.decimal for entry, _, _ in found if (entry.decimal, entry.thousands) != (".", "")}
    clear = replace(
        wishes,
        dates=wishes.dates or (orders.pop() if len(orders) == 1 else None),
        decimal=wishes.decimal or (decimals.pop() if len(decimals) == 1 else None),
    )
    if clear != wishes:
        found = [
            recognise(column, clear) if entry[0].dates == "" and entry[0].decimal == "." else entry
            for column, entry in zip(columns, found, strict=True)
        ]
    told = [replace(one, column=name) for name, (_, _, why) in zip(names, found, strict=True) for one in why]
    return tuple(entry for entry, _, _ in found), [cells for _, cells, _ in found], told


def _null_words(trimmed: pa.Array, wishes: Wishes) -> pa.Array:
    if wishes.nulls is not None:
        return pc.is_in(trimmed, pa.array(wishes.nulls, pa.string()))
    return pc.is_in(pc.utf8_lower(trimmed), _NULL_WORDS)


def _is_typed(values: pa.Array) -> bool:
    return judge("", values.slice(0, JUDGED)).column.type is not ColumnType.TEXT


def _number(rest: pa.Array, wishes: Wishes) -> tuple[Format, list[Evidence]] | None:
    some = rest.slice(0, 100)
    if not _is_enough(pc.sum(pc.match_substring_regex(some, _LIKE_A_NUMBER)).as_py(), len(some)):
        return None
    for decimal, thousands in _MARKS:
        if wishes.decimal not in (None, decimal) or wishes.thousands not in (None, thousands):
            continue
        right = pc.match_substring_regex(rest, number_shape(decimal, thousands))
        if not _is_enough(pc.sum(right).as_py(), len(rest)) or not _has_marks(rest, decimal, thousands):
            continue
        # 1,234 alone is a thousand or a little more than one.
        decided = wishes.decimal is not None or wishes.thousands is not None
        if not decided and _is_unclear(rest, decimal, thousands):
            continue
        written = Format(decimal="," if decimal == "," else ".", thousands=thousands)
        if not _is_typed(_cleaned(rest.filter(right), written, ColumnType.DOUBLE)):
            continue
        why = f"numbers such as {rest.filter(right)[0].as_py()[:40]}"
        sure = 1.0 if decided else 0.95
        return written, [Evidence("decimal", decimal, sure, why), Evidence("thousands", thousands, sure, why)]
    return None


def _is_enough(right: int, count: int) -> bool:
    return right >= ENOUGH * count or (count >= FEW and right == count - 1)


def _has_marks(rest: pa.Array, decimal: str, thousands: str) -> bool:
    marks = (thousands,) if thousands else (decimal,)
    return any(pc.any(pc.match_substring(rest, mark)).as_py() for mark in marks)


def _is_unclear(rest: pa.Array, decimal: str, thousands: str) -> bool:
    marked = rest.filter(pc.match_substring(rest, thousands or decimal))
    if thousands not in (",", ".") and decimal == ".":
        return False
    if not pc.all(pc.match_substring_regex(marked, _UNCLEAR)).as_py():
        return False
    others = rest.filter(pc.invert(pc.match_substring(rest, thousands or decimal)))
    # Beside 7 and 950, and no 1250, only a thousands mark makes sense.
    short = len(others) > 0 and pc.all(pc.match_substring_regex(others, r"^[-+]?[0-9]{1,3}$")).as_py()
    return not (thousands and short and len(marked) > 1)


def _date(rest: pa.Array, wishes: Wishes) -> tuple[Format, list[Evidence]] | None:
    if not any(_DATE.match(text) or _NAMED.match(text) for text in rest.slice(0, FEW).to_pylist()):
        return None
    texts = rest.to_pylist()
    parts = [found.groups() for text in texts if (found := _DATE.match(text))]
    named = sum(bool(_NAMED.match(text)) for text in texts)
    if not _is_enough(len(parts) + named, len(texts)):
        return None
    order, sure, why = _order([(int(a), mark, int(b), c) for a, mark, b, c in parts], wishes)
    if order is None:
        return None
    right = [iso for text in texts if (iso := iso_of(text, order))]
    if not _is_enough(len(right), len(texts)) or not _is_typed(pa.array(right, pa.string())):
        return None
    return Format(dates=order), [Evidence("date_order", order, sure, why)]


def _order(parts: list[tuple[int, str, int, str]], wishes: Wishes) -> tuple[Order | None, float, str]:
    if wishes.dates:
        return wishes.dates, 1.0, "given, or by other columns"
    if not parts:
        return "dmy", 1.0, "months have names"
    if all(len(str(a)) > 2 for a, _, _, _ in parts):
        return "ymd", 1.0, "the year comes first"
    if not all(len(c) == 4 for _, _, _, c in parts):
        return None, 0.0, ""
    days_first, days_second = sum(a > 12 >= b for a, _, b, _ in parts), sum(b > 12 >= a for a, _, b, _ in parts)
    if days_first > 19 * days_second:
        return "dmy", 0.99, f"{days_first} dates have a first number above 12"
    if days_second > 19 * days_first:
        return "mdy", 0.99, f"{days_second} dates have a second number above 12"
    if not days_first and not days_second and all(mark == "." for _, mark, _, _ in parts):
        return "dmy", 0.8, "points stand between day, month and year"
    return None, 0.0, ""


def _cleaned(strings: pa.Array, written: Format, kind: ColumnType | None = None) -> pa.Array:
    if kind is None:
        is_number = (written.decimal, written.thousands) != (".", "")
        kind = ColumnType.DOUBLE if is_number else ColumnType.DATE if written.dates else ColumnType.BOOLEAN
    cells, _ = formats.plain(strings, kind, written)
    cells = pc.ascii_trim(cells, characters=" \t")
    if written.dates:
        cells = pc.if_else(pc.match_substring_regex(cells, ISO), cells, pa.scalar(None, pa.string()))
        _, unreal = cast(pc.utf8_slice_codeunits(cells, 0, 10), _DAY)
        cells = pc.if_else(pa.array(unreal), pa.scalar(None, pa.string()), cells)
    return cells
