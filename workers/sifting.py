"""Reads a block of delimited text into typed columns in one pass, without the rows in which anything may be at fault.

Arrow reads the values themselves where it can, else text that is cast here; both accept the same cells and give the
same values, and a property test holds them to it. What is wrong with the rows left out is for `workers.parsing` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from workers.arrow_csv import read
from workers.casting import INTEGERS, Mask, cast, is_within
from workers.cells import is_utf8
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
_FEW = 16
"""One record in so many may be of another width before all of them are looked at, for most may be made even."""
_MOST_DOUBTFUL = 8
"""If more columns of a file are, it is not worth a try to have Arrow read the others."""
_PLACE = re.compile(r"^In CSV column #([0-9]+):")
_ZERO, _X, _LOWER = ord("0"), ord("x"), 0x20
_CACHED = 128 * 1024


@dataclass(frozen=True, slots=True)
class Sifted:
    """The columns of a block by name, without the rows of those of its records that are `odd`."""

    arrays: Mapping[str, pa.Array]
    odd: Mask


def sifted(
    data: bytes, dialect: Dialect, shape: Shape, doubtful: set[int] | None = None, *, tidy: bool = False
) -> Sifted:
    """The block's rows but the odd ones.

    `doubtful` are columns of the file that are read as text, as some of their cells were no values; more are added.
    Only how long it takes depends on them. `tidy` says that the block is known to have no stray quotes.
    """
    cells, left_out, bad = _read(data, dialect, shape.readings, set() if doubtful is None else doubtful)
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
    if cells.type == pa.string():
        return cells, bad
    try:
        return cells.cast(pa.string()), bad
    except pa.ArrowInvalid:
        pass
    for index, cell in enumerate(cells.to_pylist()):
        bad[index] = cell is not None and not is_utf8(cell)
    return pc.if_else(pa.array(bad), None, cells).cast(pa.string()), bad


Read = tuple[list[pa.Array | None], Sequence[int], Mask]
"""The file's columns as values, the places of the records that are not in them, and which of their rows are bad."""


def _read(data: bytes, dialect: Dialect, readings: tuple[Reading, ...], doubtful: set[int]) -> Read:
    whole = any(column is not None and column.type in INTEGERS for column, _ in readings)
    if len(doubtful) <= _MOST_DOUBTFUL and b"\0" not in data and not (whole and _has_hexadecimal(data)):
        try:
            return _read_as(data, dialect, readings, frozenset(doubtful), doubtful)
        except _Misfit as misfit:
            doubtful.add(misfit.place)
        except pa.ArrowInvalid as error:
            doubtful |= {int(place) for place in _PLACE.findall(str(error))}
    return _read_as(data, dialect, readings, frozenset(range(len(readings))), doubtful)


def _read_as(
    data: bytes, dialect: Dialect, readings: tuple[Reading, ...], as_text: frozenset[int], doubtful: set[int]
) -> Read:
    """Raises ArrowInvalid, _Misfit: a cell of a column that is not read as text is no value, or only one to Arrow."""
    is_legible = is_utf8(data)
    types = [_type(*reading, as_text=place in as_text, is_legible=is_legible) for place, reading in enumerate(readings)]
    arrays, left_out = _even(data, dialect, types, is_legible=is_legible)
    cells, bad = list[pa.Array | None](), np.zeros(_rows(arrays), bool)
    for place, (array, (column, written)) in enumerate(zip(arrays, readings, strict=True)):
        if column is None:
            cells.append(None)
            continue
        if place in as_text or not _is_native(column, written):
            text, undecodable = decoded(array)
            array, wrong = cast(text, column, written)
            wrong |= undecodable
            bad |= wrong
            if wrong.any():
                doubtful.add(place)
        elif not is_within(array, column):
            raise _Misfit(place)
        cells.append(array)
    return cells, left_out, bad


class _Misfit(Exception):
    """A value of a column that Arrow has and that this service stores under another one or not at all."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


def _even(
    data: bytes, dialect: Dialect, types: list[pa.DataType | None], *, is_legible: bool
) -> tuple[list[pa.Array | None], Sequence[int]]:
    """The columns of the records that are as wide as they should be, and the places of the others."""
    try:
        return read(data, dialect, types, is_legible=is_legible), ()
    except pa.ArrowInvalid as error:
        if "columns, got" not in str(error):
            raise
    if dialect.ragged != "pad" and is_legible:
        left_out = list[int]()
        arrays = read(data, dialect, types, left_out, is_legible=True)
        if len(left_out) * _FEW <= _rows(arrays):
            return arrays, left_out
    even, fit = fitting(data, records(data, dialect), dialect, len(types))
    return read(fit, dialect, types, is_legible=is_legible), np.flatnonzero(~even).tolist()


def _rows(arrays: list[pa.Array | None]) -> int:
    return next(len(array) for array in arrays if array is not None)


def _type(column: Column | None, written: Format, *, as_text: bool, is_legible: bool) -> pa.DataType | None:
    """As what pyarrow is to read a column: text where it cannot do the rest, None where nobody wants it."""
    if column is None:
        return None
    if as_text:
        return pa.string() if is_legible else pa.binary()  # a cell that is not UTF-8 is bad by itself
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
