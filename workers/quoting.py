"""Where quotes open and close in CSV, and what else takes a character's meaning: escapes and comments.

The rule is pyarrow's: a quote opens only at the start of a field, is doubled inside, and anywhere else is an ordinary
character. Works on positions of quotes, never byte by byte, unless there are escapes or comments.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workers.dialect import Dialect

Positions = npt.NDArray[np.int64]
NEWLINE, RETURN = b"\n\r"
NONE: Positions = np.empty(0, np.int64)


class Stretches(NamedTuple):
    """First and last byte of each stretch inside which nothing is special. An unclosed quote ends at len(data).

    `in_turns` if the quotes open and close in turns, which is seen at once of nearly all text.
    """

    opens: Positions
    closes: Positions
    in_turns: bool = False


def quoted(data: bytes, dialect: Dialect | None) -> Stretches:
    """What is quoted, escaped or a comment."""
    if dialect is None:
        return Stretches(NONE, NONE)
    if has_escapes(data, dialect) or has_remarks(data, dialect):
        return _scanned(data, dialect)
    if dialect.quote is None or (quote := dialect.quote.encode()) not in data:
        return Stretches(NONE, NONE, in_turns=True)
    octets = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(octets == quote[0])
    # Where every other quote opens a field or goes on with one, parity is the whole truth.
    in_turns = bool(np.logical_or(*_befores(octets, quotes[0::2], quote[0], dialect)).all())
    if in_turns:
        opens, closes = quotes[0::2], quotes[1::2]
    else:
        opens, closes = _walked(quotes, *_befores(octets, quotes, quote[0], dialect))
    if len(closes) < len(opens):
        closes = np.append(closes, len(data))
    return Stretches(opens, closes, in_turns)


def is_tidy(data: bytes, dialect: Dialect | None, found: Stretches) -> bool:
    """Whether it is seen at once that every field ends where its quotes close, as in nearly all text."""
    if dialect is None or not found.in_turns:
        return dialect is None
    closes = found.closes[: np.searchsorted(found.closes, len(data) - 1)]
    behind = np.frombuffer(data, np.uint8)[closes + 1]
    ends = (behind == ord(dialect.delimiter)) | (behind == NEWLINE) | (behind == RETURN)
    return bool((ends | (behind == ord(dialect.quote or dialect.delimiter))).all())


def strays(data: bytes, dialect: Dialect) -> Positions:
    """Quotes that close a field before its end: something else than blanks stands behind them."""
    if dialect.quote is None or (quote := dialect.quote.encode()) not in data:
        return NONE
    found = quoted(data, dialect)
    if is_tidy(data, dialect, found):
        return NONE
    octets, opens, closes = np.frombuffer(data, np.uint8), found.opens, found.closes
    is_quoted = (octets[opens] == quote[0]) & (opens < closes) & (closes < len(data) - 1)
    closes = np.union1d(closes[is_quoted], _shut(data, octets, quote[0], dialect, found))
    after = octets[closes + 1]
    # One that follows at once goes on with the field.
    odd = (after != ord(dialect.delimiter)) & (after != NEWLINE) & (after != RETURN) & (after != quote[0])
    odd &= octets[closes] == quote[0]
    ends = re.compile(rb"[ \t]*+(?:[\r\n" + re.escape(dialect.delimiter.encode()) + rb"]|\Z)")
    return np.array([at for at in closes[odd].tolist() if ends.match(data, at + 1) is None], np.int64)


def has_escapes(data: bytes, dialect: Dialect) -> bool:
    """Whether anything may be escaped."""
    return dialect.escape is not None and dialect.escape.encode() in data


def has_remarks(data: bytes, dialect: Dialect) -> bool:
    """Whether a line begins as a comment does, be it inside quotes."""
    if dialect.comment is None:
        return False
    mark = dialect.comment.encode()
    return data.startswith(mark) or b"\n" + mark in data or b"\r" + mark in data


def inside(positions: Positions, quotes: Stretches) -> npt.NDArray[np.bool_]:
    """Which positions lie in those stretches."""
    if len(quotes.opens) == 0:
        return np.zeros(len(positions), bool)
    around = np.searchsorted(quotes.opens, positions) - 1
    return (around >= 0) & (positions <= quotes.closes[around])


def _befores(
    octets: npt.NDArray[np.uint8], quotes: Positions, quote: int, dialect: Dialect
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of each of some quotes: whether it follows another one, and whether it stands where a field may start."""
    before = octets[quotes - 1]
    if quotes[0] == 0:
        before[0] = NEWLINE
    return before == quote, (before == ord(dialect.delimiter)) | (before == NEWLINE) | (before == RETURN)


def _walked(
    quotes: Positions, follows: npt.NDArray[np.bool_], at_start: npt.NDArray[np.bool_]
) -> tuple[Positions, Positions]:
    """Quote by quote, for text with stray quotes. A run of an even number never changes what is inside."""
    first = np.flatnonzero(~follows)
    lengths = np.diff(np.append(first, len(quotes)))
    odd = (lengths & 1).astype(bool)
    first, lengths = first[odd], lengths[odd]
    starting = np.flatnonzero(at_start[first])
    upcoming = np.append(starting, len(first))[np.searchsorted(starting, np.arange(len(first) + 2))].tolist()
    chosen = []
    at = upcoming[0]
    while at < len(first):
        chosen.append(at)
        at = upcoming[at + 2]
    opening = np.array(chosen, np.int64)
    closing = opening[opening + 1 < len(first)] + 1
    return quotes[first[opening]], quotes[first[closing]] + lengths[closing] - 1


def _shut(data: bytes, octets: npt.NDArray[np.uint8], quote: int, dialect: Dialect, quotes: Stretches) -> Positions:
    """The last one of an even number of quotes at the start of a field, which `_walked` passes over."""
    if has_escapes(data, dialect) or has_remarks(data, dialect):
        return NONE  # scanned, and none passed over
    every = np.flatnonzero(octets == quote)
    first = np.flatnonzero(np.diff(every, prepend=-2) > 1)
    lengths = np.diff(np.append(first, len(every)))
    starts = every[first]
    _, at_start = _befores(octets, starts, quote, dialect)
    ends = (starts + lengths - 1)[at_start & (lengths % 2 == 0)]
    ends = ends[ends < len(data) - 1]
    found: Positions = ends[~(inside(ends, quotes) | np.isin(ends, quotes.opens))]
    return found


def _scanned(data: bytes, dialect: Dialect) -> Stretches:
    """Quoted stretches, escaped characters and comments from left to right, for text that may have all of them."""
    opens, closes = [], []
    for found in _scanner(dialect).finditer(data):
        start, end = found.span()
        opens.append(start)
        closes.append(len(data) if found["open"] is not None and not found["shut"] else end - 1)
    return Stretches(np.array(opens, np.int64), np.array(closes, np.int64))


@cache
def _scanner(dialect: Dialect) -> re.Pattern[bytes]:
    delimiter, quote, escape, comment = (
        re.escape(mark.encode()) if mark else b""
        for mark in (dialect.delimiter, dialect.quote, dialect.escape, dialect.comment)
    )
    line, parts = rb"(?:\A|(?<=[\n\r]))", [rb"(?P<open>)(?P<shut>)(?!)"]
    if escape:
        # Behind an escaped character no field and no line starts.
        ordinary = quote + comment
        parts.append(escape + rb"(?:\r\n|.)" + (rb"[" + ordinary + rb"]*+" if ordinary else b""))
    if comment:
        parts.append(line + comment + rb"[^\n\r]*")
    if quote:
        inner = [rb"[^" + quote + escape + rb"]++", quote * 2, *([escape + rb"."] if escape else [])]
        field = rb"(?:\A|(?<=[\n\r" + delimiter + rb"]))"
        parts[0] = field + rb"(?P<open>" + quote + rb")(?:" + rb"|".join(inner) + rb")*+(?P<shut>" + quote + rb")?"
    return re.compile(rb"|".join(parts), re.DOTALL)
