"""Says what is wrong with the records of a block that were not accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from service.domain.chunk import Fault, Reject
from workers.arrow_csv import cut_each
from workers.casting import Mask
from workers.dialect import Dialect
from workers.numbering import readable, rejected
from workers.quoting import Positions
from workers.records import Records
from workers.shaping import Shaped

_STRAY_QUOTE = (
    "stray_quote",
    "A quote closes a field, and more of the field stands behind it.",
    "Double the quotes that belong to the text, or name another quote, or none, with the option quote.",
)


_CELLS = 64 * 1024
"""About how many cells are shown at a time, which bounds the memory that they take."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Records of a block that were looked at closely: the good ones of them, and what is wrong with the others.

    Those that are `even` can be cut into the file's columns: `texts`, and `shaped` out of these. `rows` and `lines` are
    the numbers of all of them.
    """

    data: bytes
    dialect: Dialect
    found: Records
    shaped: Shaped
    texts: list[pa.Array]
    even: Mask
    undecodable: Mask
    stray: Mask
    rows: Positions
    lines: Positions

    @property
    def good(self) -> Mask:
        """Which of the records are good."""
        good = self.even & ~self.undecodable & ~self.stray
        good[self.even] &= ~self.shaped.bad
        return good

    @property
    def arrays(self) -> Mapping[str, pa.Array]:
        """The good ones as columns by name."""
        accepted = pa.array(self.good[self.even])
        return {name: array.filter(accepted) for name, array in self.shaped.arrays.items()}

    def rejects(self) -> Iterator[Reject]:
        """All that is wrong with each of the others."""
        refused = np.flatnonzero(~self.good)
        step = max(1, _CELLS // len(self.texts))
        for start in range(0, len(refused), step):
            yield from self._told(refused[start : start + step])

    def _told(self, some: Positions) -> Iterator[Reject]:
        legible = (self.even & ~self.undecodable)[some]
        places = (np.cumsum(self.even) - 1)[some[legible]]
        faults = dict(zip(some[legible].tolist(), self.shaped.faults(places), strict=True))
        texts = [text.take(pa.array(places)).to_pylist() for text in self.texts]
        cells = dict(zip(some[legible].tolist(), zip(*texts, strict=True), strict=True))
        for index, fields in cut_each(self.data, self.found, some[~legible], self.dialect):
            cells[index] = tuple(field.decode(errors="replace") or None for field in fields)
        has_nul = b"\0" in self.data
        for index in some.tolist():
            record = self.data[self.found.starts[index] : self.found.ends[index]]
            shown = tuple(cell and readable(cell) for cell in cells[index]) if has_nul else cells[index]
            why = self._amiss(index, record) or faults[index]
            yield rejected(int(self.rows[index]), int(self.lines[index]), why, record, shown)

    def _amiss(self, index: int, record: bytes) -> tuple[Fault, ...]:
        """What is wrong with a record as a whole."""
        if not self.even[index]:
            return (Fault(None, *_wrong_width(int(self.found.widths[index]), len(self.texts))),)
        if self.undecodable[index]:
            return (Fault(None, *_not_utf8(record)),)
        return (Fault(None, *_STRAY_QUOTE),) if self.stray[index] else ()


def _wrong_width(width: int, expected: int) -> tuple[str, str, str]:
    has = f"{width} field{'s' if width != 1 else ''}"
    return (
        "wrong_field_count",
        f"The row has {has}, the header has {expected}.",
        "Add the missing fields, or put quotes around a field that contains the delimiter.",
    )


def _not_utf8(raw: bytes) -> tuple[str, str, str]:
    try:
        raw.decode()
        where = "in a field"
    except UnicodeDecodeError as error:
        where = f"at byte {error.start + 1} of the row"
    return (
        "invalid_utf8",
        f"The text has bytes that its encoding does not know {where}.",
        "Name the file's encoding with the option encoding, or save it as UTF-8.",
    )
