"""Delimited text as pyarrow reads it: without comments, with every escape that is none doubled, with even records."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import numpy.typing as npt

from workers.dialect import Dialect
from workers.quoting import has_escapes, has_remarks
from workers.records import Records, records

Mask = npt.NDArray[np.bool_]


def plain(data: bytes, dialect: Dialect) -> bytes:
    """The same records without comments, and with every escape in front of something ordinary doubled."""
    if has_remarks(data, dialect):
        found = records(data, dialect)
        data = b"\n".join(data[start:end] for start, end in zip(found.starts, found.ends, strict=True))
    if dialect.escape and has_escapes(data, dialect):
        escape = dialect.escape.encode()
        whole = {escape: 2 * escape, escape + b"\r\n": escape + b"\r" + escape + b"\n"}
        data = _escapes(dialect).sub(lambda match: whole.get(match[0], match[0]), data)
    return data


def fitting(data: bytes, found: Records, dialect: Dialect, width: int) -> tuple[Mask, bytes]:
    """Which records have `width` fields, or can be given them, and the text of those only.

    Can be given: fields behind the last are all empty; or, if the dialect pads, fields at the end are missing.
    """
    right = found.widths == width
    if right.all():
        return right, data
    stops = found.ends.copy()
    surplus = found.widths > width
    if surplus.any():
        last = found.marks[np.minimum(found.first + width - 1, len(found.marks) - 1)]
        # What would be left must not be a blank line.
        empty = surplus & (found.ends - last == found.widths - width) & (last > found.starts)
        stops[empty] = last[empty]
        right |= empty
    missing = np.where(dialect.ragged == "pad", np.maximum(width - found.widths, 0), 0)
    right |= missing > 0
    delimiter, parts, at = dialect.delimiter.encode(), [], 0
    for index in np.flatnonzero(~right | (stops < found.ends) | (missing > 0)).tolist():
        stop = int(stops[index]) if right[index] else int(found.starts[index])
        parts += [data[at:stop], delimiter * int(missing[index])]
        at = int(found.ends[index])
    return right, b"".join([*parts, data[at:]])


@cache
def _escapes(dialect: Dialect) -> re.Pattern[bytes]:
    escape = re.escape((dialect.escape or "").encode())
    special = re.escape(f"{dialect.delimiter}{dialect.quote or ''}{dialect.escape}".encode()) + rb"\r\n"
    return re.compile(escape + rb"(?:\r\n|[" + special + rb"])?")
