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
from workers.numbering import Part, is_cut, kept
from workers.records import Records, records

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


def typed(data: bytes, delimiter: str, columns: tuple[Column, ...]) -> Part | None:
    """The whole block in one pass, or None if any row or cell needs a closer look."""
    if b"\0" in data or (any(column.type in _WHOLE for column in columns) and _has_hexadecimal(data)):
        return None
    types = [arrow_type(column) if column.type in _NATIVE else pa.string() for column in columns]
    try:
        arrays = _read(data, delimiter, types)
    except pa.ArrowInvalid:
        return None
    done = _finished(arrays, columns)
    return None if done is None else Part(len(done[0]), len(data), _named(done, columns))


def strings(data: bytes, delimiter: str, width: int) -> tuple[Records, Mask, list[pa.Array], Mask]:
    """The block's records, which of them have `width` fields, those fields as text, and which of those are not UTF-8.

    A cell that is not UTF-8 is null.
    """
    found = records(data, delimiter.encode())
    even = found.widths == width
    count = int(even.sum())
    raw = _read(data, delimiter, [pa.binary()] * width) if count else [pa.array([], pa.binary())] * width
    if len(raw[0]) != count:
        raise RuntimeError(f"pyarrow found {len(raw[0])} rows where {count} records are")
    undecodable = np.zeros(count, bool)
    texts = []
    for cells in raw:
        text, bad = _decoded(cells)
        texts.append(text)
        undecodable |= bad
    return found, even, texts, undecodable


def masked(data: bytes, delimiter: str, columns: tuple[Column, ...], first_row: int, first_line: int) -> Iterator[Part]:
    """The block's good rows and its rejects, in as many parts as keep the rejects of one small."""
    found, even, texts, undecodable = strings(data, delimiter, len(columns))
    arrays, blame = _cast(texts, columns, undecodable)
    at = np.full(len(found), -1)
    at[even] = np.arange(len(blame))
    good = even.copy()
    good[even] = blame == _GOOD
    accepted = pa.array(blame == _GOOD)
    named = _named([array.filter(accepted) for array in arrays], columns)
    before = np.concatenate(([0], np.cumsum(good)))
    faults = _Faults(data, delimiter, found, columns, texts, blame, at, first_row, first_line)
    start, size, rejects = 0, 0, list[Reject]()
    for index in np.flatnonzero(~good).tolist():
        reject = faults.reject(index)
        rejects.append(reject)
        size += 2 * len(reject.raw) + len(reject.message) + len(reject.suggestion)  # once more as cells
        if size > REJECT_BYTES:
            yield _part(found, start, index + 1, named, before, rejects)
            start, size, rejects = index + 1, 0, []
    if start < len(found):
        yield _part(found, start, len(found), named, before, rejects)


def fields(record: bytes, delimiter: str) -> list[str]:
    """The fields of one record. Raises UnicodeDecodeError."""
    return [(cell or b"").decode() for cell in _cells(record, delimiter)]


def _cells(record: bytes, delimiter: str) -> list[bytes | None]:
    width = int(records(record, delimiter.encode()).widths[0])
    return [array[0].as_py() for array in _read(record, delimiter, [pa.binary()] * width)]


_GOOD = -1
_UNDECODABLE = -2


@dataclass(frozen=True, slots=True)
class _Faults:
    """What is needed to say what is wrong with record `index`."""

    data: bytes
    delimiter: str
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
        record = self.data[start:end]
        cut = is_cut(record)
        cells = None if cut else self._cells(index, record)
        return Reject(row, line, name, code, message, suggestion, kept(record), cells=cells, cut=cut)

    def _cells(self, index: int, record: bytes) -> tuple[str | None, ...]:
        place = int(self.at[index])
        if place >= 0 and self.blame[place] != _UNDECODABLE:
            cells = [text[place].as_py() for text in self.texts]
            return tuple(None if cell is None else cell.replace("\0", "\N{SYMBOL FOR NULL}") for cell in cells)
        return tuple(None if cell is None else kept(cell) for cell in _cells(record, self.delimiter))

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
    texts: list[pa.Array], columns: tuple[Column, ...], undecodable: Mask
) -> tuple[list[pa.Array], npt.NDArray[np.int64]]:
    """Every column typed, and for each row the first column at fault."""
    blame = np.where(undecodable, _UNDECODABLE, _GOOD)
    arrays = []
    for position, (text, column) in enumerate(zip(texts, columns, strict=True)):
        array, bad = cast(text, column)
        blame[bad & (blame == _GOOD)] = position
        arrays.append(array)
    return arrays, blame


def _finished(arrays: list[pa.Array], columns: tuple[Column, ...]) -> list[pa.Array] | None:
    """Casts what pyarrow read as text. None if any value is not one to store."""
    done = []
    for array, column in zip(arrays, columns, strict=True):
        if column.type not in _NATIVE:
            array, bad = cast(array, column)
            if bad.any():
                return None
        elif not is_within(array, column):
            return None
        done.append(array)
    return done


def _read(data: bytes, delimiter: str, types: list[pa.DataType]) -> list[pa.Array]:
    # Without a line end pyarrow may take a line break in the last quoted field for the end of its block.
    whole = data if data.endswith((b"\n", b"\r")) else data + b"\n"
    names = [str(position) for position in range(len(types))]
    table = csv.read_csv(
        pa.BufferReader(whole),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(whole) + 1, column_names=names),
        parse_options=csv.ParseOptions(
            delimiter=delimiter,
            quote_char='"' if b'"' in whole else False,
            newlines_in_values=False,
            invalid_row_handler=_skip if types[0] == pa.binary() else None,
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
    return [column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns]


def _has_hexadecimal(data: bytes) -> bool:
    """Whether 0x or 0X is anywhere, which Arrow takes for a number. Two bytes at a time, three times as fast as re."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1) if len(data) > start + 1)
    return any(bool(((pair & _UPPER) == _ZERO_X).any()) for pair in pairs)


def _skip(row: csv.InvalidRow) -> str:
    return "skip"


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
    return ("invalid_utf8", f"The text is not UTF-8 {where}.", "Save the file as UTF-8 and send it again.")
