"""Which type the text of a column has when a few of its cells are wrong, how sure that is, and what speaks against it.

The type is the narrowest that holds every cell. Where only text does, but at least SHARE of many cells are of one type
and it refuses the others, it is that type: the others will be rejects. A type that would take an exception for another
value than it is written (a leading zero, a plus, a thousands mark) is not believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from service.domain.column_spec import TIMES
from workers.casting import cast
from workers.columns import infer, spoken

SHARE = 0.98
MANY = 50
"""Cells below which none may be wrong."""
FEW, FEW_WRONG = 200, 0.2
SHOWN = 5
SHOWN_CHARACTERS = 100

_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_LIKE_A_NUMBER = r"^\s*[-+]?[0-9.][0-9.,' ]*([eE][-+]?[0-9]+)?\s*$"
_LIKE_A_DATE = r"^[ \t]*[0-9]{4}-"
_OTHERS = (ColumnType.BOOLEAN, ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ, ColumnType.UUID)

WIDER: dict[ColumnType, tuple[str, ...]] = {
    ColumnType.INTEGER: ("bigint", "numeric", "double", "text"),
    ColumnType.BIGINT: ("numeric", "text"),
    ColumnType.NUMERIC: ("text",),
    ColumnType.DOUBLE: ("numeric", "text"),
    ColumnType.DATE: ("timestamp", "text"),
}


@dataclass(frozen=True, slots=True)
class Inferred:
    """A column's type, by `cells` of which `fitting` are of it; empty ones say nothing. Texts are examples."""

    column: Column
    cells: int
    fitting: int
    samples: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """From 0 to 1: the share that fits, less where few cells were seen."""
        return round((self.fitting + 1) / (self.cells + 2), 4) if self.cells else 0.0

    def as_json(self) -> dict[str, Any]:
        """For people who look before they import."""
        return {
            "type": self.column.type.value,
            "scale": self.column.scale,
            "confidence": self.confidence,
            "share": round(self.fitting / self.cells, 4) if self.cells else None,
            "cells": self.cells,
            "samples": list(self.samples),
            "exceptions": list(self.exceptions),
            "alternatives": list(WIDER.get(self.column.type, () if self.column.type is ColumnType.TEXT else ("text",))),
        }


def judge(name: str, strings: pa.Array) -> Inferred:
    """The type of these texts, in the plain way, but for a few wrong ones."""
    values = spoken(strings)
    column = infer(name, values)
    if column.type is ColumnType.TEXT and len(values) >= MANY:
        for candidate, exceptions in _candidates(name, values):
            fitting = len(values) - len(exceptions)
            return Inferred(candidate, len(values), fitting, _shown(values), _shown(exceptions))
    return Inferred(column, len(values), len(values), _shown(values))


def _candidates(name: str, values: pa.Array) -> Iterator[tuple[Column, pa.Array]]:
    """The type that nearly all values have, with those that do not."""
    most = len(values) * (1 - SHARE)
    first = values[: 2 * int(most) + 2]  # more exceptions than may be are mostly seen in these
    if pc.sum(pc.invert(pc.match_substring_regex(first, _NUMBER))).as_py() <= most:
        numbers = pc.match_substring_regex(values, _NUMBER)
        others = values.filter(pc.invert(numbers))
        if len(others) <= most and not pc.any(pc.match_substring_regex(others, _LIKE_A_NUMBER)).as_py():
            column = infer(name, values.filter(numbers))
            if column.type is not ColumnType.TEXT and cast(others, column)[1].all():
                yield column, others
    few = values.take(pa.array(range(0, len(values), max(len(values) // FEW, 1))))
    are_no_dates = pc.sum(pc.invert(pc.match_substring_regex(few, _LIKE_A_DATE))).as_py() > FEW_WRONG * len(few)
    for kind in _OTHERS:
        column = Column(name, kind)
        if (are_no_dates and kind in TIMES) or cast(few, column)[1].sum() > FEW_WRONG * len(few):
            continue  # most columns of text: not worth a look at every cell
        exceptions = values.filter(pa.array(cast(values, column)[1]))
        if len(exceptions) <= most and infer(name, _without(values, exceptions)).type is kind:
            yield column, exceptions


def _without(values: pa.Array, exceptions: pa.Array) -> pa.Array:
    return values.filter(pc.invert(pc.is_in(values, exceptions.unique())))


def _shown(values: pa.Array) -> tuple[str, ...]:
    """A few different ones, cut."""
    few = pc.unique(values[: 100 * SHOWN])[:SHOWN]
    return tuple(text[:SHOWN_CHARACTERS] for text in few.to_pylist())
