"""Changes to the text of cells before it is read, a whole column at a time and without patterns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.column_spec import ColumnSpec, Replacement, Split
from workers.cells import flags

_CASES: dict[str, Callable[[pa.Array], pa.Array]] = {
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "title": pc.utf8_title,
}


def changes(spec: ColumnSpec) -> bool:
    """Whether anything is to be changed, so that a column cannot be read as it stands."""
    return bool(spec.trim or spec.split or spec.replace or spec.case or spec.nulls or spec.default is not None)


def rewritten(strings: pa.Array, spec: ColumnSpec) -> pa.Array:
    """The column's text as the caller wants it read. Null stays null but for `default`."""
    cells = pc.utf8_trim_whitespace(strings) if spec.trim else strings
    if spec.split is not None:
        cells = _part(cells, spec.split)
    for replacement in spec.replace:
        cells = _replaced(cells, replacement)
    if spec.case is not None:
        cells = _CASES[spec.case](cells)
    if spec.nulls:
        cells = pc.if_else(pc.is_in(cells, pa.array(spec.nulls, pa.string())), pa.scalar(None, pa.string()), cells)
    if spec.default is not None:
        is_empty = pc.fill_null(pc.equal(cells, ""), True)
        cells = pc.if_else(is_empty, pa.scalar(spec.default, pa.string()), cells)
    return cells


def _part(cells: pa.Array, split: Split) -> pa.Array:
    lists = pc.split_pattern(cells, split.by)
    ends = lists.offsets.to_numpy()
    starts, counts = ends[:-1], np.diff(ends)
    place = split.part - 1 if split.part > 0 else counts + split.part
    is_there = (place >= 0) & (place < counts) & flags(cells.is_valid())
    places = pa.array(np.where(is_there, starts + place, 0), mask=~is_there)
    return lists.values.take(places)


def _replaced(cells: pa.Array, replacement: Replacement) -> pa.Array:
    if replacement.whole:
        return pc.if_else(pc.fill_null(pc.equal(cells, replacement.old), False), replacement.new, cells)
    return pc.replace_substring(cells, replacement.old, replacement.new)
