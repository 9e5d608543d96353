"""Text to typed values, a whole column at a time, with a mask for the cells that cannot be.

What is accepted here is exactly what `pyarrow.csv` accepts with the options of `workers.parsing`, so that a cell
means the same whichever way its chunk was read. Nothing is rounded. Why a cell
cannot be is in `workers.reasons`.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from workers.cells import flags, kept, lengths, octets, offsets
from workers.columns import PRECISION, arrow_type
from workers.exact import refuse, stored
from workers.formats import PLAIN, Format, plain
from workers.uuids import uuids

Mask = npt.NDArray[np.bool_]

TRUE_WORDS = [form(w) for w in ("true", "t", "yes", "y", "on") for form in (str.lower, str.title, str.upper)] + ["1"]
FALSE_WORDS = [form(w) for w in ("false", "f", "no", "n", "off") for form in (str.lower, str.title, str.upper)] + ["0"]
_WORDS = pa.array(TRUE_WORDS + FALSE_WORDS)

WHOLE = r"^-?[0-9]+$"
DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_NOT_A_NUMBER = r"(?i)^[+-]?nan(\([a-z0-9_]*\))?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = r"[ T][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_SHAPES = {
    ColumnType.INTEGER: WHOLE,
    ColumnType.BIGINT: WHOLE,
    ColumnType.DOUBLE: f"{DECIMAL}|{_INFINITE}|{_NOT_A_NUMBER}",
    ColumnType.NUMERIC: DECIMAL,
    ColumnType.DATE: _DATE,
    ColumnType.TIMESTAMP: rf"{_DATE[:-1]}({_CLOCK})?$",
    ColumnType.TIMESTAMPTZ: rf"{_DATE[:-1]}{_CLOCK}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$",
}
_STRANGE = {
    kind: bytes(octet not in b"0123456789" + marks for octet in range(256))
    for kind, marks in {
        ColumnType.INTEGER: b"-",
        ColumnType.BIGINT: b"-",
        ColumnType.DOUBLE: b"+-.eE",
        ColumnType.NUMERIC: b"+-.eE",
        ColumnType.DATE: b"-",
        ColumnType.TIMESTAMP: b"-: T.",
        ColumnType.TIMESTAMPTZ: b"-: T.Z+",
    }.items()
}
"""Tables that tell the bytes that values of a type do not have, or, as the letters of NaN, hardly ever."""
INTEGERS = frozenset({ColumnType.INTEGER, ColumnType.BIGINT})
_FIRST = 2_048
"""Cells of a column that are tried before all of it is."""
_TRIMMED = frozenset({ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DOUBLE, ColumnType.NUMERIC, ColumnType.DATE})
"""Types around which blanks do not matter, as in pyarrow's CSV reader."""

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31: the years that PostgreSQL's text form, Python and JSON clients all understand."""
_DAY_US = 86_400_000_000


def cast(strings: pa.Array, column: Column, written: Format = PLAIN) -> tuple[pa.Array, Mask]:
    """Typed values, null where a cell is bad, and which cells are bad. Empty is null in all but text columns."""
    if written != PLAIN:
        strings, wrong = plain(strings, column.type, written)
        array, bad = cast(strings, column)
        return array, bad | wrong
    cells = _cells(strings, column.type)
    array = _within(_typed(cells, column), cells, column)
    bad = flags(array.is_null()) & flags(cells.is_valid()) if array.null_count else np.zeros(len(array), bool)
    return array, bad


def is_within(array: pa.Array, column: Column) -> bool:
    """Whether values that Arrow could parse are also values this service stores: no year 0, no overflow to infinity."""
    outside = _outside(array, column)
    return outside is None or not pc.any(outside).as_py()


def _cells(strings: pa.Array, kind: ColumnType) -> pa.Array:
    if kind is ColumnType.TEXT:
        return strings
    cells = strings
    if kind in _TRIMMED and (b" " in (written := octets(strings)) or b"\t" in written):
        cells = pc.ascii_trim(strings, characters=" \t")
    # " " is not empty: pyarrow's reader compares with null_values before it trims.
    return pc.if_else(pc.equal(strings, ""), None, cells) if _has_empty(strings) else cells


def _typed(cells: pa.Array, column: Column) -> pa.Array:
    match column.type:
        case ColumnType.TEXT:
            return kept(cells, pc.invert(pc.match_substring(cells, "\0"))) if b"\0" in octets(cells) else cells
        case ColumnType.BOOLEAN:
            return _booleans(cells)
        case ColumnType.UUID:
            return uuids(cells)
        case ColumnType.JSONB:
            return _json(cells)
        case _:
            return _parsed(cells, column)


def _parsed(cells: pa.Array, column: Column) -> pa.Array:
    """All at once if they can be, else without those that look strange, else each one is looked at."""
    # Arrow goes on to the end behind a bad cell, of which there is mostly one among the first of many.
    is_likely = len(cells) <= _FIRST or _at_once(cells.slice(0, _FIRST), column) is not None
    if is_likely and (array := _at_once(cells, column)) is not None:
        return array
    cells = _without_strange(cells, column.type)
    if (array := _at_once(cells, column)) is not None:
        return array
    right = kept(cells, pc.match_substring_regex(cells, _SHAPES[column.type]))
    if (array := _at_once(right, column)) is not None:
        return array
    return _integers(right, column) if column.type in INTEGERS else _bisected(right, column)


def _at_once(cells: pa.Array, column: Column) -> pa.Array | None:
    if column.type in INTEGERS and _has_hexadecimal(cells):
        return None
    if column.type is ColumnType.NUMERIC and not _is_short(cells, column.scale or 0):
        return None
    try:
        return pc.cast(cells, arrow_type(column))
    except pa.ArrowInvalid:
        return None


def _without_strange(cells: pa.Array, kind: ColumnType) -> pa.Array:
    """Null for cells of the wrong shape that have a byte which hardly any value has: most bad cells, found quickly."""
    strange = np.flatnonzero(np.frombuffer(octets(cells).translate(_STRANGE[kind]), np.bool_))
    bounds = offsets(cells)
    places = np.unique(np.searchsorted(bounds - bounds[0], strange, "right") - 1)
    if 2 * len(places) > len(cells):
        return cells  # text of some other kind
    right = np.ones(len(cells), bool)
    right[places] = flags(pc.match_substring_regex(cells.take(pa.array(places)), _SHAPES[kind]))
    return kept(cells, pa.array(right))


def _is_short(cells: pa.Array, scale: int) -> bool:
    """Whether no cell can overflow when it is brought to its scale: Arrow wraps 1100000e26 around without an error."""
    written = octets(cells)
    return int(lengths(cells).max(initial=0)) <= PRECISION - scale and b"e" not in written and b"E" not in written


def _has_hexadecimal(cells: pa.Array) -> bool:
    """Arrow reads 0x1f as 31 and 0xffffffffffffffff as -1; a file that says so means a code, not a number."""
    written = octets(cells)
    return b"x" in written or b"X" in written


def _has_exponent(cells: pa.Array) -> pa.Array:
    return pc.match_substring_regex(cells, "[eE]")


def _bisected(cells: pa.Array, column: Column) -> pa.Array:
    """Few distinct texts have the right shape and still no value (30 February, 25 o'clock): each is looked at once."""
    if column.type is ColumnType.NUMERIC:
        cells = _scaled(cells, column.scale or 0)
    distinct = cells.dictionary_encode()
    return _halved(distinct.dictionary, arrow_type(column)).take(distinct.indices)


def _halved(values: pa.Array, target: pa.DataType) -> pa.Array:
    try:
        return pc.cast(values, target)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, target)
    half = len(values) // 2
    return pa.concat_arrays([_halved(values[:half], target), _halved(values[half:], target)])


def _integers(cells: pa.Array, column: Column) -> pa.Array:
    """Those that fit, of cells that are digits."""
    right = pc.replace_substring_regex(cells, r"^(-?)0+([0-9])", r"\1\2")
    wide = kept(right, pc.less_equal(pc.binary_length(right), PRECISION)).cast(pa.decimal128(PRECISION, 0))
    target = arrow_type(column)
    limit = 2 ** (target.bit_width - 1)
    bounds = [pa.scalar(n, pa.decimal128(PRECISION, 0)) for n in (-limit, limit - 1)]
    return kept(wide, pc.and_(pc.greater_equal(wide, bounds[0]), pc.less_equal(wide, bounds[1]))).cast(target)


def _scaled(cells: pa.Array, scale: int) -> pa.Array:
    """Plain digits without needless zeros, and null where there are more than fit, so that one cast does for all."""
    exponent = _has_exponent(cells)
    if pc.any(exponent).as_py():
        written_out = pa.array([_written_out(text) for text in cells.filter(exponent).to_pylist()], pa.string())
        cells = pc.replace_with_mask(cells, pc.fill_null(exponent, False), written_out)
    # Exactly one zero in front: .5 and 005 become 0.5 and 05. By way of _, so that it is not read as group ten.
    plain = pc.replace_substring_regex(cells, r"^([+-]?)0*", r"\1_")
    plain = pc.replace_substring(plain, "_", "0")
    plain = pc.replace_substring_regex(plain, r"^([^.]*\.[0-9]*?)0+$", r"\1")
    whole = pc.binary_length(pc.replace_substring_regex(plain, r"^[+-]?0?|\..*$", ""))
    decimals = pc.binary_length(pc.replace_substring_regex(plain, r"^[^.]*\.?", ""))
    return kept(plain, pc.and_(pc.less_equal(whole, PRECISION - scale), pc.less_equal(decimals, scale)))


def _written_out(text: str) -> str | None:
    """1.5e3 as 1500. Null far outside of what fits, before it is written out."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number:
        return "0"
    return f"{number:f}" if abs(number.adjusted()) < 2 * PRECISION else None


def _booleans(cells: pa.Array) -> pa.Array:
    return pc.less(pc.index_in(cells, _WORDS), len(TRUE_WORDS))


def _json(cells: pa.Array) -> pa.Array:
    return kept(cells, pa.array([text is None or _is_json(text) for text in cells.to_pylist()], pa.bool_()))


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse, parse_float=stored)
        text.encode()
    except (ValueError, RecursionError):
        return False
    # jsonb can hold neither an escaped NUL nor half a surrogate pair.
    return not re.search(r"(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])", text, re.IGNORECASE) or _is_storable(text)


def _is_storable(text: str) -> bool:
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    try:
        plain.encode()
    except UnicodeEncodeError:
        return False
    return not re.search(r"(?<!\\)(?:\\\\)*\\u0000", plain)


def _within(array: pa.Array, cells: pa.Array, column: Column) -> pa.Array:
    outside = _outside(array, column)
    if outside is None or not pc.any(outside).as_py():
        return array
    if column.type is ColumnType.DOUBLE:
        outside = pc.and_(outside, pc.invert(pc.match_substring_regex(cells, _INFINITE)))
    return kept(array, pc.invert(outside))


def _outside(array: pa.Array, column: Column) -> pa.Array | None:
    match column.type:
        case ColumnType.DOUBLE:
            return pc.is_inf(array)
        case ColumnType.DATE:
            days = array.view(pa.int32())
            return pc.or_(pc.less(days, _FIRST_DAY), pc.greater(days, _LAST_DAY))
        case ColumnType.TIMESTAMP | ColumnType.TIMESTAMPTZ:
            times = array.view(pa.int64())
            return pc.or_(pc.less(times, _FIRST_DAY * _DAY_US), pc.greater_equal(times, (_LAST_DAY + 1) * _DAY_US))
        case _:
            return None


def _has_empty(cells: pa.Array) -> bool:
    without = lengths(cells) == 0
    return bool(without.any()) and bool((without & flags(cells.is_valid())).any())
