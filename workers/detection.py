"""What kind of delimited text a file is: its byte order mark, delimiter, and whether the first row is a header.

Looks at the first 64 KiB only, with the same quoting rule as the reader. Not csv.Sniffer, which a 72 KB file can
keep busy for ten seconds.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import ColumnType
from workers.columns import infer
from workers.dialect import Dialect
from workers.records import boundary, records

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 64 * 1024

_FOREIGN = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def start_of_text(source: BinaryIO) -> int:
    """The offset of the first character. Raises InputError for an empty file and for UTF-16 and UTF-32."""
    source.seek(0)
    head = source.read(SAMPLE_BYTES)
    if head.startswith(_FOREIGN):
        raise InputError(
            "unsupported_encoding", "The file is UTF-16 or UTF-32.", suggestion="Save it as UTF-8 and send it again."
        )
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    rest = head[start:]
    while rest and not rest.strip():
        rest = source.read(SAMPLE_BYTES)
    if not rest:
        raise InputError("file_empty", "The file has no rows and no header.", suggestion="Check what was exported.")
    return start


def sample(source: BinaryIO, offset: int) -> bytes:
    """The first lines from `offset`, about 64 KiB."""
    source.seek(offset)
    return source.read(SAMPLE_BYTES)


def detect_delimiter(head: bytes) -> str:
    """The delimiter that cuts most records into the same, largest number of fields; comma if none does."""
    return max(DELIMITERS, key=lambda delimiter: _score(head, delimiter))


def detect_header(first: list[str], columns: list[pa.Array]) -> bool:
    """Whether the first row names the columns. `columns` holds the text of the sample's rows below it.

    It does not if any of its cells is a number, date, boolean or uuid. Empty or repeated names are believed only
    over a column whose values are something else than text.
    """
    if any(_is_typed(cell) for cell in first):
        return False
    if all(first) and len(set(first)) == len(first):
        return True
    below = [infer("", column).type for column in columns]
    return any(cell and kind is not ColumnType.TEXT for cell, kind in zip(first, below, strict=True))


def _score(head: bytes, delimiter: str) -> tuple[bool, float]:
    dialect = Dialect(delimiter)
    end = boundary(head, dialect, at_end=len(head) < SAMPLE_BYTES)
    widths = records(head[: end or len(head)], dialect).widths
    if len(widths) == 0:
        return False, 0.0
    width = int(np.bincount(widths).argmax())
    consistency = float((widths == width).mean())
    # "1,5;2,5" cuts as evenly at its decimal commas as at its semicolons; a comma inside fields is the likelier.
    weight = 0.5 if delimiter == "," else 1.0
    return width > 1 and int(widths[0]) == width, (width - 1) and width * consistency * weight


def _is_typed(cell: str) -> bool:
    # Numbers that no type takes as they stand, such as 007, +5 or 1.234,50, are no names of columns either.
    if re.fullmatch(r"[-+]?[0-9][0-9.,' ]*", cell):
        return True
    return infer("", pa.array([cell], pa.string())).type is not ColumnType.TEXT
