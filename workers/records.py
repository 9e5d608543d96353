"""Where CSV records end: cuts a file into blocks of whole records and finds the records within one.

Works on positions of quotes and line breaks, never byte by byte. Knows nothing of types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from service.domain.chunk import RAW_LIMIT
from workers.dialect import Dialect
from workers.quoting import NEWLINE, NONE, RETURN, Positions, Stretches, has_remarks, inside, is_tidy, quoted

RECORD_LIMIT = 16 * 1024 * 1024
"""The longest record that is read; what is longer is skipped, so that memory stays flat."""
KEPT_BYTES = 4 * RAW_LIMIT + 1
"""How much of an unreadable record is kept for its reject: 2,000 characters of at most four bytes."""

Fault = Literal["unclosed_quote", "record_too_large"]

_WINDOW = 64 * 1024
_TRIES = 16


class Source(Protocol):
    """Bytes that can be read from any place on."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records at `offset`, or, with `fault` set, the kept start of one that cannot be read.

    `lines` is the number of line ends up to `end`, where the next block starts. `tidy` if it is known that no quote
    closes a field before its end.
    """

    offset: int
    data: bytes
    end: int
    lines: int
    fault: Fault | None = None
    tidy: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a block, blank lines and comments left out: byte ranges, lines before each, number of fields.

    `marks` are the places of all delimiters between fields, `first` is the index of each record's first one.
    """

    starts: Positions
    ends: Positions
    lines: Positions
    widths: Positions
    marks: Positions
    first: Positions

    def __len__(self) -> int:
        return len(self.starts)

    def only(self, chosen: Positions) -> Records:
        """Some of the records."""
        each = (self.starts[chosen], self.ends[chosen], self.lines[chosen], self.widths[chosen])
        return Records(*each, self.marks, self.first[chosen])


def blocks(
    source: Source, offset: int, dialect: Dialect | None, sizes: Iterable[int], limit: int = RECORD_LIMIT
) -> Iterator[Block]:
    """The file from `offset`, which must be where a record starts, in blocks of about these many bytes.

    Without a dialect, a record is a line.
    """
    for size in sizes:
        if not (block := _next(source, offset, dialect, min(size, limit), limit)):
            return
        yield block
        offset = block.end


def pieces(data: bytes, dialect: Dialect | None, lines: int) -> Iterator[bytes]:
    """Cut a block at record ends into pieces of about `lines` lines, for work that costs memory per record."""
    start = 0
    while start < len(data):
        stop, wanted = start, lines
        while stop < len(data):
            stop = _after_lines(data, stop, wanted)
            end = len(data) if stop == len(data) else start + boundary(data[start:stop], dialect)
            if end > start:
                break
        yield data[start:end]
        start = end


def boundary(data: bytes, dialect: Dialect | None, at_end: bool = False) -> int:
    """Where the last whole record in `data` ends; 0 if none does. The end of the file ends a record too."""
    return _boundary(data, dialect, at_end, quoted(data, dialect))


def records(data: bytes, dialect: Dialect | None) -> Records:
    """The records of a block that starts where a record starts."""
    quotes = quoted(data, dialect)
    starts, ends, lines = _extents(data, dialect, quotes)
    marks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(dialect.delimiter)) if dialect else NONE
    marks = marks[~inside(marks, quotes)]
    first = np.searchsorted(marks, starts)
    widths = np.searchsorted(marks, ends) - first + 1
    return Records(starts, ends, lines, widths, marks, first)


def extents(data: bytes, dialect: Dialect | None) -> tuple[Positions, Positions, Positions]:
    """Of the records of such a block only where they start and end, and the lines before each: a third of the work."""
    return _extents(data, dialect, quoted(data, dialect))


def count(data: bytes, dialect: Dialect | None) -> int:
    """How many records there are in a block that starts where a record starts."""
    marks = [mark for mark in (dialect.quote, dialect.escape, dialect.comment) if mark] if dialect else []
    if b"\r" in data or b"\n\n" in data or data.startswith(b"\n") or any(mark.encode() in data for mark in marks):
        return len(records(data, dialect))
    newlines = np.frombuffer(data, np.uint8) == NEWLINE
    return int(np.count_nonzero(newlines)) + (len(data) > 0 and not data.endswith(b"\n"))


def line_count(data: bytes) -> int:
    """Physical line ends: \\n, \\r\\n, and \\r alone."""
    # A third of what bytes.count takes where there are many.
    count = int(np.count_nonzero(np.frombuffer(data, np.uint8) == NEWLINE))
    if b"\r" in data:
        count += data.count(b"\r") - data.count(b"\r\n")
    return count


def _next(source: Source, offset: int, dialect: Dialect | None, size: int, limit: int) -> Block | None:
    while True:
        source.seek(offset)
        data = source.read(size)
        if not data:
            return None
        at_end = len(data) < size or not source.read(1)
        found = quoted(data, dialect)
        if end := _boundary(data, dialect, at_end, found):
            whole = data[:end]
            return Block(offset, whole, offset + end, line_count(whole), tidy=is_tidy(data, dialect, found))
        if at_end or size >= limit:
            return _unreadable(source, offset, data, dialect, at_end)
        # One long record; doubling keeps the total work linear.
        size = min(size * 2, limit)


def _boundary(data: bytes, dialect: Dialect | None, at_end: bool, found: Stretches) -> int:
    is_open = len(found.closes) > 0 and found.closes[-1] == len(data)
    if at_end and not is_open:
        return len(data)
    end = _last_outside(data, b"\n", len(data), found)
    if end or dialect is None:
        return end
    # A return at the very end may be half of a \r\n.
    return _last_outside(data, b"\r", len(data) if at_end else len(data) - 1, found)


def _unreadable(source: Source, offset: int, data: bytes, dialect: Dialect | None, at_end: bool) -> Block:
    """One record that does not end in time. Only the line that opened the quote is given up, if it has an end.

    This cannot be made quadratic: between an unclosed quote and the end of `data` stand only even runs of quotes, and
    none of those opens a field that a line end would not close, so the next bytes of that length read plainly.
    """
    found = quoted(data, dialect)
    if len(found.closes) and found.closes[-1] == len(data):
        line_end = _line_end(data, int(found.opens[-1])) or (len(data) if at_end else 0)
        if line_end:
            lost = data[:line_end]
            return Block(offset, lost[:KEPT_BYTES], offset + line_end, line_count(lost), "unclosed_quote")
    return _too_large(source, offset, data)


def _too_large(source: Source, offset: int, data: bytes) -> Block:
    lines, end = line_count(data), offset + len(data)
    source.seek(end)
    while window := source.read(_WINDOW):
        found = window.find(b"\n")
        if found >= 0:
            end += found + 1
            lines += 1
            break
        end += len(window)
    return Block(offset, data[:KEPT_BYTES], end, lines, "record_too_large")


def _line_end(data: bytes, start: int) -> int:
    newline = data.find(b"\n", start)
    if newline >= 0:
        return newline + 1
    lone = data.find(b"\r", start, len(data) - 1)
    return lone + 1


def _last_outside(data: bytes, mark: bytes, stop: int, quotes: Stretches) -> int:
    """One past the last `mark` outside quotes, 0 if there is none."""
    for _ in range(_TRIES):
        found = data.rfind(mark, 0, stop)
        if found < 0:
            return 0
        around = int(np.searchsorted(quotes.opens, found)) - 1
        if around < 0 or found > quotes.closes[around]:
            return found + 1
        stop = int(quotes.opens[around])
    # Many quoted fields with line ends in them: all at once rather than one by one.
    marks = np.flatnonzero(np.frombuffer(data, np.uint8)[:stop] == mark[0])
    outside = marks[~inside(marks, quotes)]
    return int(outside[-1]) + 1 if len(outside) else 0


def _extents(data: bytes, dialect: Dialect | None, quotes: Stretches) -> tuple[Positions, Positions, Positions]:
    octets = np.frombuffer(data, np.uint8)
    breaks = _breaks(data)
    ending = ~inside(breaks, quotes)
    if dialect is None:
        ending &= octets[breaks] == NEWLINE
    at = np.flatnonzero(ending)
    stops = breaks[at]
    if len(data) and (len(stops) == 0 or stops[-1] < len(data) - 1):
        stops = np.append(stops, len(data))
    starts, lines = (np.concatenate(([0], behind + 1))[: len(stops)] for behind in (stops, at))
    ends = stops - _has_return(data, stops, starts)
    full = ends > starts
    if dialect and has_remarks(data, dialect):
        full &= octets[np.minimum(starts, len(data) - 1)] != ord(dialect.comment or "")
    return starts[full], ends[full], lines[full]


def _breaks(data: bytes) -> Positions:
    octets = np.frombuffer(data, np.uint8)
    newline = octets == NEWLINE
    if b"\r" in data:
        alone = octets == RETURN
        alone[:-1] &= ~newline[1:]
        newline |= alone
    return np.flatnonzero(newline)


def _has_return(data: bytes, stops: Positions, starts: Positions) -> npt.NDArray[np.int64]:
    if len(stops) == 0 or b"\r" not in data:
        return np.zeros(len(stops), np.int64)
    octets = np.frombuffer(data, np.uint8)
    before = octets[np.maximum(stops - 1, 0)]
    at = octets[np.minimum(stops, len(octets) - 1)]
    found: npt.NDArray[np.int64] = ((before == RETURN) & (at == NEWLINE) & (stops > starts)).astype(np.int64)
    return found


def _after_lines(data: bytes, start: int, lines: int) -> int:
    """Near enough behind the `lines`-th line end from `start`."""
    while start < len(data) and lines > 0:
        stop = min(start + _WINDOW, len(data))
        lines -= max(data.count(b"\n", start, stop), data.count(b"\r", start, stop))
        start = stop
    return start
