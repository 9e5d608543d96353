"""Says what is wrong with the records of a block that were not accepted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.chunk import Fault, Reject
from workers.arrow_csv import cut
from workers.casting import Mask
from workers.dialect import Dialect
from workers.numbering import readable, rejected
from workers.records import Records
from workers.shaping import Shaped

_STRAY_QUOTE = (
    "stray_quote",
    "A quote closes a field, and more of the field stands behind it.",
    "Double the quotes that belong to the text, or name another quote, or none, with the option quote.",
)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is needed to say what is wrong with record `index`; `at` is its place among those of the right width."""

    data: bytes
    dialect: Dialect
    found: Records
    width: int
    shaped: Shaped
    texts: list[pa.Array]
    undecodable: Mask
    stray: Mask
    at: npt.NDArray[np.int64]
    first_row: int
    first_line: int

    def reject(self, index: int) -> Reject:
        """All that is wrong with it."""
        record = self.data[int(self.found.starts[index]) : int(self.found.ends[index])]
        place = int(self.at[index])
        faults, cells = self._why(index, place, record), self._cells(place, record)
        row, line = self.first_row + index, self.first_line + int(self.found.lines[index])
        return rejected(row, line, faults, record, cells)

    def _why(self, index: int, place: int, record: bytes) -> tuple[Fault, ...]:
        if place < 0:
            return (Fault(None, *_wrong_width(int(self.found.widths[index]), self.width)),)
        if self.undecodable[place]:
            return (Fault(None, *_not_utf8(record)),)
        if self.stray[index]:
            return (Fault(None, *_STRAY_QUOTE),)
        return self.shaped.faults(place)

    def _cells(self, place: int, record: bytes) -> tuple[str | None, ...]:
        if place < 0 or self.undecodable[place]:
            return tuple(readable(cell.decode(errors="replace")) or None for cell in cut(record, self.dialect))
        texts = (text[place].as_py() for text in self.texts)
        return tuple(None if text is None else readable(text) for text in texts)


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
