"""Reads blocks of delimited text into typed columns: all at once, or, where that fails, without the rows at fault.

Both ways accept the same cells and give the same values; a property test holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from service.domain.processor import Column, ColumnType, Reject
from workers.casting import FALSE_WORDS, TRUE_WORDS, Mask, cast, is_within, reason
from workers.columns import arrow_type
from workers.dialect import Dialect
from workers.formats import PLAIN, Format
from workers.numbering import Part, kept
from workers.records import Records, has_escapes, records
from workers.rewriting import fitting, plain

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
_WHOLE = frozenset({ColumnType.INTEGER, ColumnType.BIGINT})
_ZERO_X = int.from_bytes(b"0X", "little")
_UPPER = int.from_bytes(b"\xff\xdf", "little")


def typed(data: bytes, dialect: Dialect, columns: tuple[Column, ...], formats: tuple[Format, ...]) -> Part | None:
    """The whole block in one pass, or None if any row or cell needs a closer look."""
    if b"\0" in data or (any(column.type in _WHOLE for column in columns) and _has_hexadecimal(data)):
        return None
    native = [column.type in _NATIVE and entry == PLAIN for column, entry in zip(columns, formats, strict=True)]
    try:
        arrays = _read(data, dialect, _types(columns, native))
    except pa.ArrowInvalid as error:
        if (again := _again(data, dialect, columns, native, str(error))) is None:
            return None
        arrays, native = again
    done = _finished(arrays, columns, formats, native)
    return None if done is None else Part(len(done[0]), len(data), _named(done, columns))


def _types(columns: tuple[Column, ...], native: list[bool]) -> list[pa.DataType]:
    return [arrow_type(column) if as_is else pa.string() for column, as_is in zip(columns, native, strict=True)]


def _again(
    data: bytes, dialect: Dialect, columns: tuple[Column, ...], native: list[bool], error: str
) -> tuple[list[pa.Array], list[bool]] | None:
    """A second try where all that is wrong may be records that can be evened, or quoted emptiness in numbers."""
    if "columns, got" in error:
        even, data = fitting(data, records(data, dialect), dialect, len(columns))
        if not even.all():
            return None
    elif dialect.quote and 2 * dialect.quote.encode() in data:
        # Arrow takes "" for nothing in all columns or in none; casting tells text from the others.
        native = [as_is and column.type is ColumnType.TEXT for column, as_is in zip(columns, native, strict=True)]
    else:
        return None
    try:
        return _read(data, dialect, _types(columns, native)), native
    except pa.ArrowInvalid:
        return None


def strings(data: bytes, dialect: Dialect, width: int) -> tuple[Records, Mask, list[pa.Array], Mask]:
    """The block's records, which of them can be cut into `width` fields, those as text, and which are not UTF-8.

    A cell that is not UTF-8 is null.
    """
    found = records(data, dialect)
    even, fit = fitting(data, found, dialect, width)
    count = int(even.sum())
    raw = _read(fit, dialect, [pa.binary()] * width) if count else [pa.array([], pa.binary())] * width
    if len(raw[0]) != count:
        raise RuntimeError(f"pyarrow found {len(raw[0])} rows where {count} records are")
    undecodable = np.zeros(count, bool)
    texts = []
    for cells in raw:
        text, bad = _decoded(cells)
        texts.append(text)
        undecodable |= bad
    return found, even, texts, undecodable


def masked(
    data: bytes,
    dialect: Dialect,
    columns: tuple[Column, ...],
    formats: tuple[Format, ...],
    first_row: int,
    first_line: int,
) -> Iterator[Part]:
    """The block's good rows and its rejects, in as many parts as keep the rejects of one small."""
    found, even, texts, undecodable = strings(data, dialect, len(columns))
    arrays, blame = _cast(texts, columns, formats, undecodable)
    at = np.full(len(found), -1)
    at[even] = np.arange(len(blame))
    good = even.copy()
    good[even] = blame == _GOOD
    accepted = pa.array(blame == _GOOD)
    named = _named([array.filter(accepted) for array in arrays], columns)
    before = np.concatenate(([0], np.cumsum(good)))
    faults = _Faults(data, found, columns, texts, blame, at, first_row, first_line)
    start, size, rejects = 0, 0, list[Reject]()
    for index in np.flatnonzero(~good).tolist():
        reject = faults.reject(index)
        rejects.append(reject)
        size += len(reject.raw) + len(reject.message) + len(reject.suggestion)
        if size > REJECT_BYTES:
            yield _part(found, start, index + 1, named, before, rejects)
            start, size, rejects = index + 1, 0, []
    if start < len(found):
        yield _part(found, start, len(found), named, before, rejects)


def fields(record: bytes, dialect: Dialect) -> list[str]:
    """The fields of one record. Raises UnicodeDecodeError."""
    width = int(records(record, dialect).widths[0])
    return [(array[0].as_py() or b"").decode() for array in _read(record, dialect, [pa.binary()] * width)]


_GOOD = -1
_UNDECODABLE = -2


@dataclass(frozen=True, slots=True)
class _Faults:
    """What is needed to say what is wrong with record `index`."""

    data: bytes
    found: Records
    columns: tuple[Column, ...]
    texts: list[pa.Array]
    blame: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    first_row: int
    first_line: int

    def reject(self, index: int) -> Reject:
        start, end = int(self.found.starts[index]), int(self.found.ends[index])
        name, (code, message, suggestion) = self._why(index, start, end)
        row, line = self.first_row + index, self.first_line + int(self.found.lines[index])
        return Reject(row, line, name, code, message, suggestion, kept(self.data[start:end]))

    def _why(self, index: int, start: int, end: int) -> tuple[str | None, tuple[str, str, str]]:
        place = int(self.at[index])
        if place < 0:
            return None, _wrong_width(int(self.found.widths[index]), len(self.columns))
        blamed = int(self.blame[place])
        if blamed == _UNDECODABLE:
            return None, _not_utf8(self.data[start:end])
        column = self.columns[blamed]
        return column.name, reason(column, self.texts[blamed][place].as_py())


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


def _named(arrays: list[pa.Array], columns: tuple[Column, ...]) -> Mapping[str, pa.Array]:
    return {column.name: array for column, array in zip(columns, arrays, strict=True)}


def _cast(
    texts: list[pa.Array], columns: tuple[Column, ...], formats: tuple[Format, ...], undecodable: Mask
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Every column typed, and for each row the first column at fault."""
    blame = np.where(undecodable, _UNDECODABLE, _GOOD)
    arrays = []
    for position, (text, column, entry) in enumerate(zip(texts, columns, formats, strict=True)):
        array, bad = cast(text, column, entry)
        blame[bad & (blame == _GOOD)] = position
        arrays.append(array)
    return arrays, blame


def _finished(
    arrays: list[pa.Array], columns: tuple[Column, ...], formats: tuple[Format, ...], native: list[bool]
) -> list[pa.Array] | None:
    """Casts what pyarrow read as text. None if any value is not one to store."""
    done = []
    for array, column, entry, as_is in zip(arrays, columns, formats, native, strict=True):
        if not as_is:
            array, bad = cast(array, column, entry)
            if bad.any():
                return None
        elif not is_within(array, column):
            return None
        done.append(array)
    return done


def _read(data: bytes, dialect: Dialect, types: list[pa.DataType]) -> list[pa.Array]:
    data = plain(data, dialect)
    # Without a line end pyarrow may take a line break in the last quoted field for the end of its block.
    whole = data if data.endswith((b"\n", b"\r")) else data + b"\n"
    names = [str(position) for position in range(len(types))]
    table = csv.read_csv(
        pa.BufferReader(whole),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(whole) + 1, column_names=names),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote if dialect.quote and dialect.quote.encode() in whole else False,
            escape_char=dialect.escape if has_escapes(whole, dialect) else False,
            newlines_in_values=False,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict(zip(names, types, strict=True)),
            null_values=[""],
            true_values=TRUE_WORDS,
            false_values=FALSE_WORDS,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    arrays = [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]
    return arrays if dialect.spelling is None else [_respelled(array, dialect) for array in arrays]


def _respelled(array: pa.Array, dialect: Dialect) -> pa.Array:
    """Text with the delimiter in it as the file spells it."""
    if array.type not in (pa.string(), pa.binary()):
        return array
    spelling: str = dialect.spelling or ""
    if array.type == pa.string():
        return pc.replace_substring(array, dialect.delimiter, spelling)
    return pc.replace_substring(array, dialect.delimiter.encode(), spelling.encode())


def _has_hexadecimal(data: bytes) -> bool:
    """Whether 0x or 0X is anywhere, which Arrow takes for a number. Two bytes at a time, three times as fast as re."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1) if len(data) > start + 1)
    return any(bool(((pair & _UPPER) == _ZERO_X).any()) for pair in pairs)


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
