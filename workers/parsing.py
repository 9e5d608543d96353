"""Reads blocks of delimited text into typed columns: all at once, or, where that fails, without the rows at fault.

Both ways accept the same cells and give the same values; a property test holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType, Reject
from workers.arrow_csv import read
from workers.casting import Mask, cast, is_within
from workers.columns import arrow_type
from workers.dialect import Dialect
from workers.faults import Faults
from workers.formats import PLAIN, Format
from workers.numbering import Part
from workers.quoting import strays
from workers.records import Records, records
from workers.rewriting import fitting
from workers.shaping import Reading, Shape
from workers.widening import Watch

REJECT_BYTES = 1024 * 1024
"""About how much text of rejects one chunk may carry."""

_NATIVE = frozenset(
    {
        ColumnType.INTEGER,
        ColumnType.BIGINT,
        ColumnType.DOUBLE,
        ColumnType.BOOLEAN,
        ColumnType.DATE,
        ColumnType.TIMESTAMP,
        ColumnType.TIMESTAMPTZ,
        ColumnType.TEXT,
    }
)
"""Read by pyarrow itself. Not numeric: its CSV reader wraps a number of 38 digits around without an error."""
_INTEGERS = frozenset({ColumnType.INTEGER, ColumnType.BIGINT})
_AS_TEXT = Format(everywhere=True)
"""The plain way, but cast here and not by Arrow."""
_ZERO, _X, _LOWER = ord("0"), ord("x"), 0x20
_CACHED = 128 * 1024


def typed(data: bytes, dialect: Dialect, shape: Shape) -> Part | None:
    """The whole block in one pass, or None if any row or cell needs a closer look."""
    readings = shape.readings
    whole = any(column is not None and column.type in _INTEGERS for column, _ in readings)
    if b"\0" in data or (whole and _has_hexadecimal(data)) or len(strays(data, dialect)):
        return None
    try:
        arrays = read(data, dialect, [_native(*reading) for reading in readings])
    except pa.ArrowInvalid as error:
        if (again := _again(data, dialect, readings, str(error))) is None:
            return None
        arrays, readings = again
    rows = next(len(array) for array in arrays if array is not None)
    done = _finished(arrays, readings)
    named = None if done is None else shape.finished(done, rows)
    return None if named is None else Part(rows, len(data), named)


def _again(
    data: bytes, dialect: Dialect, readings: tuple[Reading, ...], error: str
) -> tuple[list[pa.Array], tuple[Reading, ...]] | None:
    """A second try where all that is wrong may be records that can be evened, or quoted emptiness in numbers."""
    if "columns, got" in error:
        even, data = fitting(data, records(data, dialect), dialect, len(readings))
        if not even.all():
            return None
    elif dialect.quote and 2 * dialect.quote.encode() in data:
        # Arrow takes "" for nothing in all columns or in none; casting tells text from the others.
        readings = tuple(
            (column, written if column is None or column.type is ColumnType.TEXT or written != PLAIN else _AS_TEXT)
            for column, written in readings
        )
    else:
        return None
    try:
        return read(data, dialect, [_native(*reading) for reading in readings]), readings
    except pa.ArrowInvalid:
        return None


def strings(
    data: bytes, dialect: Dialect, width: int, used: Sequence[bool] | None = None
) -> tuple[Records, Mask, list[pa.Array], Mask]:
    """The block's records, which of them can be cut into `width` fields, those as text, and which are not UTF-8.

    A cell that is not UTF-8 is null; in a column that is not `used` it makes no row bad.
    """
    found = records(data, dialect)
    even, fit = fitting(data, found, dialect, width)
    count = int(even.sum())
    raw = read(fit, dialect, [pa.binary()] * width) if count else [pa.array([], pa.binary())] * width
    if len(raw[0]) != count:
        raise RuntimeError(f"pyarrow found {len(raw[0])} rows where {count} records are")
    undecodable = np.zeros(count, bool)
    texts = []
    for place, cells in enumerate(raw):
        text, bad = _decoded(cells)
        texts.append(text)
        if used is None or used[place]:
            undecodable |= bad
    return found, even, texts, undecodable


def masked(
    data: bytes, dialect: Dialect, shape: Shape, first_row: int, first_line: int, watch: Watch | None = None
) -> Iterator[Part]:
    """The block's good rows and its rejects, in as many parts as keep the rejects of one small. Raises TooNarrow."""
    used = [column is not None for column, _ in shape.readings]
    found, even, texts, undecodable = strings(data, dialect, shape.width, used)
    shaped = shape.shaped(texts, len(undecodable))
    stray = np.zeros(len(found), bool)
    stray[np.searchsorted(found.starts, strays(data, dialect), "right") - 1] = True
    if watch is not None:
        watch.look(shaped, first_row + np.flatnonzero(even), ~(undecodable | stray[even]))
    at = np.full(len(found), -1)
    at[even] = np.arange(len(undecodable))
    accepted = ~(shaped.bad | undecodable | stray[even])
    good = even.copy()
    good[even] = accepted
    named = {name: array.filter(pa.array(accepted)) for name, array in shaped.arrays.items()}
    before = np.concatenate(([0], np.cumsum(good)))
    faults = Faults(data, dialect, found, shape.width, shaped, texts, undecodable, stray, at, first_row, first_line)
    start, size, rejects = 0, 0, list[Reject]()
    for index in np.flatnonzero(~good).tolist():
        reject = faults.reject(index)
        rejects.append(reject)
        size += _size(reject)
        if size > REJECT_BYTES:
            yield _part(found, start, index + 1, named, before, rejects)
            start, size, rejects = index + 1, 0, []
    if start < len(found):
        yield _part(found, start, len(found), named, before, rejects)


def _size(reject: Reject) -> int:
    told = len(reject.raw) + len(reject.message) + len(reject.suggestion)
    return told + sum(len(cell or "") for cell in reject.cells or ())


def _part(
    found: Records,
    start: int,
    stop: int,
    arrays: Mapping[str, pa.Array],
    before: npt.NDArray[np.int64],
    rejects: list[Reject],
) -> Part:
    low, high = int(before[start]), int(before[stop])
    return Part(stop - start, int(found.ends[stop - 1]), _sliced(arrays, low, high), tuple(rejects))


def _sliced(arrays: Mapping[str, pa.Array], start: int, stop: int) -> Mapping[str, pa.Array]:
    return {name: array.slice(start, stop - start) for name, array in arrays.items()}


def _native(column: Column | None, written: Format) -> pa.DataType | None:
    """As what pyarrow is to read a column: text where it cannot do the rest, None where nobody wants it."""
    if column is None:
        return None
    return arrow_type(column) if _is_native(column, written) else pa.string()


def _is_native(column: Column, written: Format) -> bool:
    return column.type in _NATIVE and written == PLAIN


def _finished(arrays: list[pa.Array | None], readings: tuple[Reading, ...]) -> list[pa.Array | None] | None:
    """Casts what pyarrow read as text. None if any value is not one to store."""
    done = list[pa.Array | None]()
    for array, (column, written) in zip(arrays, readings, strict=True):
        if column is None:
            done.append(None)
            continue
        if not _is_native(column, written):
            array, bad = cast(array, column, written)
            if bad.any():
                return None
        elif not is_within(array, column):
            return None
        done.append(array)
    return done


def _has_hexadecimal(data: bytes) -> bool:
    """Whether 0x or 0X is anywhere, which Arrow takes for a number. Piece by piece, as the cache holds them."""
    octets = np.frombuffer(data, np.uint8)
    pieces = (octets[start : start + _CACHED + 1] for start in range(0, len(data), _CACHED))
    return any(bool((((piece[1:] | _LOWER) == _X) & (piece[:-1] == _ZERO)).any()) for piece in pieces)


def _decoded(cells: pa.Array) -> tuple[pa.Array, Mask]:
    bad = np.zeros(len(cells), bool)
    try:
        return cells.cast(pa.string()), bad
    except pa.ArrowInvalid:
        pass
    for index, cell in enumerate(cells.to_pylist()):
        bad[index] = cell is not None and not _is_utf8(cell)
    return pc.if_else(pa.array(bad), None, cells).cast(pa.string()), bad


def _is_utf8(cell: bytes) -> bool:
    if cell.isascii():
        return True
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True
