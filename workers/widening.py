"""Notices, while a file is read, that a type found out from its sample is too narrow, and says which one would do.

A number that its column cannot hold widens it at once: integer, bigint, numeric; integer to double for decimals; more
decimals; also date to timestamp. To text it goes at the first row where at least TEXT_CELLS cells of the column, and
more than TEXT_SHARE of the rows so far, do not fit. A column widens STEPS times at most. What is decided depends on the
rows alone, not on how they come in chunks. Types that a caller gave, or that a dataset had before, stay.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.chunk import Column, ColumnType, TooNarrow, Widening, Widens
from workers.casting import Mask, cast
from workers.columns import EXACT_DIGITS, PRECISION
from workers.formats import PLAIN, plain
from workers.shaping import Field, Finding, Shaped

TEXT_CELLS = 100
TEXT_SHARE = 0.05
STEPS = 4
MOST_DECIMALS = 18
SHOWN = 100
"""Characters of the cell that a message shows."""

_WHOLE = r"-?[0-9]+"
_DECIMAL = r"-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,3})?"
Rows = npt.NDArray[np.int64]


class Watch:
    """Looks at what did not fit, part by part in the order of rows."""

    def __init__(self, widens: Widens) -> None:
        self._steps = widens.steps
        self._misfits = dict(widens.misfits)

    def look(self, shaped: Shaped, rows: Rows, readable: Mask) -> None:
        """`rows` are the numbers of the shaped rows, `readable` are those to judge by. Raises TooNarrow."""
        found = []
        untold = readable.copy()
        for finding in shaped.findings:
            if finding.texts is not None and finding.field.widens:
                widening = self._wider(finding, rows, finding.mask & readable, finding.mask & untold)
                if widening is not None:
                    found.append(widening)
            untold &= ~finding.mask
        if found:
            raise TooNarrow(tuple(found))

    def _wider(self, finding: Finding, rows: Rows, bad: Mask, first: Mask) -> Widening | None:
        """What the column should be, if not what it is. `first` are the rows of which it is the first fault."""
        old = finding.field.column
        new, at, steps = self._exact(finding, bad)
        if new is None:
            at, steps = self._too_many(old.name, rows, first), 1
            new = Column(old.name, ColumnType.TEXT)
        if at is None or finding.texts is None:
            return None
        return Widening(old, new, int(rows[at]), str(finding.texts[at].as_py())[:SHOWN], steps)

    def _exact(self, finding: Finding, bad: Mask) -> tuple[Column | None, int | None, int]:
        """The type that also holds the cells which are values of a wider one, cell after cell; the first; the steps."""
        field, column, texts = finding.field, finding.field.column, finding.texts
        places, first, steps = np.flatnonzero(bad), None, 0
        while len(places) and texts is not None and self._steps.get(column.name, 0) + steps < STEPS:
            at, wider = _first_step(column, field, texts.take(pa.array(places)))
            if wider is None:
                break
            first = int(places[at]) if first is None else first
            column, steps, places = wider, steps + 1, places[at + 1 :]
            places = places[cast(texts.take(pa.array(places)), column, field.format)[1]]
        return (None if first is None else column), first, steps

    def _too_many(self, name: str, rows: Rows, first: Mask) -> int | None:
        """The place of the row at which too many cells of the column do not fit."""
        counts = self._misfits.get(name, 0) + np.cumsum(first)
        over = np.flatnonzero((counts >= TEXT_CELLS) & (counts > TEXT_SHARE * rows) & first)
        if len(over):
            return int(over[0])
        self._misfits[name] = int(counts[-1])
        return None


def _first_step(column: Column, field: Field, texts: pa.Array) -> tuple[int, Column | None]:
    """The first of these cells that a wider type could hold, and that type."""
    tried: set[str] = set()
    cells = texts if field.format == PLAIN else plain(texts, column.type, field.format)[0]
    for at, (text, cell) in enumerate(zip(texts.to_pylist(), cells.to_pylist(), strict=True)):
        if text in tried or cell is None:
            continue
        tried.add(text)
        wider = _step(column, cell.strip(" \t"))
        if wider is not None and not cast(pa.array([text], pa.string()), wider, field.format)[1][0]:
            return at, wider
    return 0, None


def _step(column: Column, text: str) -> Column | None:
    match column.type:
        case ColumnType.INTEGER | ColumnType.BIGINT if re.fullmatch(_WHOLE, text):
            is_long = column.type is ColumnType.BIGINT or not -(2**63) <= int(text[:40]) < 2**63
            return Column(column.name, ColumnType.NUMERIC, 0) if is_long else Column(column.name, ColumnType.BIGINT)
        case ColumnType.INTEGER | ColumnType.BIGINT | ColumnType.NUMERIC if re.fullmatch(_DECIMAL, text):
            return _decimal_step(column, text)
        case ColumnType.DATE if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]", text):
            return Column(column.name, ColumnType.TIMESTAMP)
        case _:
            return None


def _decimal_step(column: Column, text: str) -> Column | None:
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, decimals = mantissa.lstrip("-").partition(".")
    digits = (whole + decimals).lstrip("0")
    if column.type is ColumnType.INTEGER and len(digits) <= EXACT_DIGITS:
        return Column(column.name, ColumnType.DOUBLE)
    scale = max(len(decimals) - int(exponent or 0), 0)
    is_more = scale > (column.scale or 0) or column.type is not ColumnType.NUMERIC
    if is_more and scale <= MOST_DECIMALS and len(digits) <= PRECISION:
        return Column(column.name, ColumnType.NUMERIC, scale)
    return None
