"""Numbers the rows and lines of a file read block by block, so that it can be resumed behind any chunk.

A cursor stands at the start of a block. A block with many rejects, or very many rows, is several chunks: inside it,
`part` counts those already given, and `size` says how much to read to cut the same block again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields

import pyarrow as pa

from service.domain.chunk import RAW_LIMIT, Chunk, Column, ColumnType, Cursor, Fault, Reject
from service.domain.processor import Cut
from workers.columns import arrow_type, schema
from workers.records import RECORD_LIMIT, Block

PIECE_LINES = 65_536
"""Lines looked at together where memory grows with the number of rows and not only with bytes."""

FIRST_BYTES = 256 * 1024
"""The first block of a file; each one after it is twice as large, up to the size of a chunk."""

CUT_BYTES = 1024 * 1024
"""Blocks in which a file is looked through for places to cut it."""

_FAULTS = {
    "unclosed_quote": (
        "A quote opens a field and is never closed.",
        "Close the quote, or double it if it belongs to the text.",
    ),
    "record_too_large": (
        f"The row is longer than {RECORD_LIMIT // 1024 // 1024} MiB.",
        "Check for a missing line end, or store large contents elsewhere.",
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The start of a block: its byte offset, the numbers of its first row and line, and its parts already given."""

    offset: int
    row: int
    line: int
    part: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """`read` consecutive records, up to byte `end` of their block: the good ones as columns by name, and the others."""

    read: int
    end: int
    arrays: Mapping[str, pa.Array]
    rejects: tuple[Reject, ...] = ()


def chunks(
    block: Block,
    place: Place,
    parts: Iterator[Part],
    columns: tuple[Column, ...],
    extra: Cursor,
) -> Iterator[Chunk]:
    """A chunk for each part that `place` does not count as given. `extra` is what else the cursor has to hold."""
    row, number = place.row, 0
    part = next(parts, None)
    while part is not None:
        following, number = next(parts, None), number + 1
        if following is None:
            after, done = Place(block.end, row + part.read, place.line + block.lines), block.end
        else:
            size = block.end - block.offset + 1  # a byte behind it shows that its last record is whole
            after, done = Place(place.offset, place.row, place.line, number, size), block.offset + part.end
        if number > place.part:
            yield chunk(part, row, columns, after, done, extra)
        row += part.read
        part = following


def chunk(
    part: Part,
    first_row: int,
    columns: tuple[Column, ...],
    after: Place,
    done: int,
    extra: Cursor,
) -> Chunk:
    """The part as a chunk; columns that it lacks are null."""
    rows = part.read - len(part.rejects)
    arrays = [
        part.arrays[column.name] if column.name in part.arrays else pa.nulls(rows, arrow_type(column))
        for column in columns
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema(columns))
    return Chunk(columns, batch, first_row, part.read, {**asdict(after), **extra}, done, part.rejects)


def cuts(
    found: Iterable[Block], place: Place, every: int, count: Callable[[bytes], int], cursor: Cursor
) -> Iterator[Cut]:
    """Where blocks start that are about `every` bytes apart, and `cursor` would stand if it had come there.

    `count` tells how many records a block has.
    """
    place, last = Place(place.offset, place.row, place.line), place.offset
    for block in found:
        if block.offset >= last + every:
            last = block.offset
            yield Cut(block.offset, place.row, {**cursor, **asdict(place)})
        read = 1 if block.fault else count(block.data)
        place = Place(block.end, place.row + read, place.line + block.lines)


def place_of(cursor: Cursor) -> Place:
    """Where a cursor stands."""
    return Place(**{field.name: int(cursor[field.name] or 0) for field in dataclass_fields(Place)})


def sizes(place: Place, chunk_bytes: int) -> Iterator[int]:
    """How large the blocks from `place` should be: small at first, so that a job soon has something to show."""
    if place.part:
        yield place.size
    size = min(FIRST_BYTES, chunk_bytes) if place.row == 1 else chunk_bytes
    while True:
        yield size
        size = min(2 * size, chunk_bytes)


def behind(block: Block, place: Place, last: Chunk | None) -> Place:
    """Where the next block starts; `last` is the last chunk of this one, None if it had only blank lines."""
    return place_of(last.cursor) if last else Place(block.end, place.row, place.line + block.lines)


def unreadable(block: Block, place: Place) -> Part:
    """The one reject of a block with a fault."""
    message, suggestion = _FAULTS[str(block.fault)]
    record = block.data.rstrip(b"\r\n")
    reject = Reject(
        place.row, place.line, None, str(block.fault), message, suggestion, kept(record), cut=is_cut(record)
    )
    return Part(1, len(block.data), {}, (reject,))


def kept(data: bytes) -> str:
    """The text a reject shows: cut, decodable, and without NUL, which PostgreSQL cannot store."""
    return readable(data[: 4 * RAW_LIMIT].decode(errors="replace")[:RAW_LIMIT])


def readable(text: str) -> str:
    """Text without NUL."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def rejected(
    row: int, line: int, faults: Sequence[Fault], record: bytes, cells: tuple[str | None, ...] | None = None
) -> Reject:
    """A refused row, told by the first of its faults; all of them where there are several."""
    first, several, cut = faults[0], tuple(faults) if len(faults) > 1 else (), is_cut(record)
    told = (first.column, first.code, first.message, first.suggestion)
    return Reject(row, line, *told, kept(record), several, None if cut else cells, cut)


def is_cut(data: bytes) -> bool:
    """Whether `kept` shows only its beginning."""
    return len(data) > 4 * RAW_LIMIT or (len(data) > RAW_LIMIT and len(data.decode(errors="replace")) > RAW_LIMIT)


def dumped(columns: tuple[Column, ...]) -> str:
    """Columns as text for a cursor."""
    return json.dumps([[column.name, column.type.value, column.scale] for column in columns])


def loaded(text: str) -> tuple[Column, ...]:
    """Columns from a cursor."""
    return tuple(Column(name, ColumnType(kind), scale) for name, kind, scale in json.loads(text))
