"""Reads a block of delimited text into typed columns in one pass, without the rows in which anything may be at fault.

Arrow reads the values themselves where it can, else text that is cast here; both accept the same cells and give the
same values, and a property test holds them to it. What is wrong with the rows left out is for `workers.parsing` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from workers.arrow_csv import read
from workers.casting import Mask, cast, is_within
from workers.columns import arrow_type
from workers.dialect import Dialect
from workers.formats import PLAIN, Format
from workers.quoting import strays
from workers.records import extents, records
from workers.rewriting import fitting
from workers.shaping import Reading, Shape

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
_FEW = 16
"""One record in so many may be of another width before all of them are looked at, for most may be made even."""
_ZERO, _X, _LOWER = ord("0"), ord("x"), 0x20
_CACHED = 128 * 1024


@dataclass(frozen=True, slots=True)
class Sifted:
    """The columns of a block by name, without the rows of those of its records that are `odd`."""

    arrays: Mapping[str, pa.Array]
    odd: Mask


def sifted(data: bytes, dialect: Dialect, shape: Shape, *, natively: bool = True, tidy: bool = False) -> Sifted:
    """The block's rows but the odd ones. It takes longer if it is to be tried `natively` and a cell does not fit.

    `tidy` says that it is known to have no stray quotes.
    """
    found = _natively(data, dialect, shape.readings) if natively else None
    cells, left_out, bad = found or _as_text(data, dialect, shape.readings)
    rows = len(bad)
    named, broken = shape.finished(cells, rows)
    odd = np.ones(rows + len(left_out), bool)
    kept = np.delete(np.arange(len(odd)), left_out)
    odd[kept] = bad | broken
    if not tidy and len(stray := strays(data, dialect)):
        odd[np.searchsorted(extents(data, dialect)[0], stray, "right") - 1] = True
    good = ~odd[kept]
    if not good.all():
        named = {name: array.filter(pa.array(good)) for name, array in named.items()}
    return Sifted(named, odd)


def decoded(cells: pa.Array) -> tuple[pa.Array, Mask]:
    """The cells as text, null where they are not UTF-8, and which ones those are."""
    bad = np.zeros(len(cells), bool)
    try:
        return cells.cast(pa.string()), bad
    except pa.ArrowInvalid:
        pass
    for index, cell in enumerate(cells.to_pylist()):
        bad[index] = cell is not None and not _is_utf8(cell)
    return pc.if_else(pa.array(bad), None, cells).cast(pa.string()), bad


Read = tuple[list[pa.Array | None], Sequence[int], Mask]
"""The file's columns as values, the places of the records that are not in them, and which of their rows are bad."""


def _natively(data: bytes, dialect: Dialect, readings: tuple[Reading, ...]) -> Read | None:
    """None if a cell is no value as Arrow reads it, or is one only as Arrow reads it."""
    whole = any(column is not None and column.type in _INTEGERS for column, _ in readings)
    if b"\0" in data or (whole and _has_hexadecimal(data)):
        return None
    try:
        arrays, left_out = _even(data, dialect, [_native(*reading) for reading in readings])
    except pa.ArrowInvalid:
        return None
    cells, bad = list[pa.Array | None](), np.zeros(_rows(arrays), bool)
    for array, (column, written) in zip(arrays, readings, strict=True):
        if column is not None and not _is_native(column, written):
            array, wrong = cast(array, column, written)
            bad |= wrong
        elif column is not None and not is_within(array, column):
            return None
        cells.append(None if column is None else array)
    return cells, left_out, bad


def _as_text(data: bytes, dialect: Dialect, readings: tuple[Reading, ...]) -> Read:
    arrays, left_out = _even(data, dialect, [None if column is None else pa.binary() for column, _ in readings])
    cells, bad = list[pa.Array | None](), np.zeros(_rows(arrays), bool)
    for array, (column, written) in zip(arrays, readings, strict=True):
        if column is None:
            cells.append(None)
            continue
        text, undecodable = decoded(array)
        values, wrong = cast(text, column, written)
        bad |= undecodable | wrong
        cells.append(values)
    return cells, left_out, bad


def _even(
    data: bytes, dialect: Dialect, types: list[pa.DataType | None]
) -> tuple[list[pa.Array | None], Sequence[int]]:
    """The columns of the records that are as wide as they should be, and the places of the others."""
    try:
        return read(data, dialect, types), ()
    except pa.ArrowInvalid as error:
        if "columns, got" not in str(error):
            raise
    if dialect.ragged != "pad" and _is_utf8(data):
        left_out = list[int]()
        arrays = read(data, dialect, types, left_out)
        if len(left_out) * _FEW <= _rows(arrays):
            return arrays, left_out
    even, fit = fitting(data, records(data, dialect), dialect, len(types))
    return read(fit, dialect, types), np.flatnonzero(~even).tolist()


def _rows(arrays: list[pa.Array | None]) -> int:
    return next(len(array) for array in arrays if array is not None)


def _native(column: Column | None, written: Format) -> pa.DataType | None:
    """As what pyarrow is to read a column: text where it cannot do the rest, None where nobody wants it."""
    if column is None:
        return None
    return arrow_type(column) if _is_native(column, written) else pa.string()


def _is_native(column: Column, written: Format) -> bool:
    return column.type in _NATIVE and written == PLAIN


def _has_hexadecimal(data: bytes) -> bool:
    """Whether 0x or 0X is anywhere, which Arrow takes for a number. Piece by piece, as the cache holds them."""
    if b"x" not in data and b"X" not in data:
        return False
    octets = np.frombuffer(data, np.uint8)
    pieces = (octets[start : start + _CACHED + 1] for start in range(0, len(data), _CACHED))
    return any(bool((((piece[1:] | _LOWER) == _X) & (piece[:-1] == _ZERO)).any()) for piece in pieces)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True
