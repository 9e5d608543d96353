"""A delimited file as resumable chunks: opens it, settles its columns, and reads it block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, ColumnType, Cursor, Work
from workers import numbering
from workers.columns import column_names, infer
from workers.dialect import SAMPLE_BYTES, detect_delimiter, detect_header, sample, start_of_text
from workers.numbering import PIECE_LINES, Part, Place
from workers.parsing import fields, masked, strings, typed
from workers.records import Block, Records, blocks, line_count, pieces, records

INFER_BYTES = 2 * 1024 * 1024
"""How much of a file without given columns is looked at for their types, before its first row is stored."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is cut (`columns` in its own order) and what comes out (`dataset`).

    `header` is what the file calls its columns; None where an earlier attempt has told it.
    """

    delimiter: str
    columns: tuple[Column, ...]
    dataset: tuple[Column, ...]
    header: tuple[str, ...] | None = None


def read(work: Work, delimiter: str | None, header: bool | None) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. `delimiter` and `header` are detected where None."""
    layout, place = _resumed(work, work.cursor) if work.cursor else _opened(work, delimiter, header)
    extra = _extra(layout)
    chunk = None
    for block in blocks(work.source, place.offset, layout.delimiter.encode(), numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, layout), layout.dataset, extra):
            yield last if chunk else replace(last, header=layout.header)
            chunk = last
        place = numbering.behind(block, place, last)
    if chunk is None and work.cursor is None:
        empty = numbering.chunk(Part(0, 0, {}), place.row, layout.dataset, place, place.offset, extra)
        yield replace(empty, header=layout.header)


def _parts(block: Block, place: Place, layout: Layout) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    whole = typed(block.data, layout.delimiter, layout.columns)
    if whole:
        yield whole
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, layout.delimiter.encode(), PIECE_LINES):
        for part in masked(piece, layout.delimiter, layout.columns, row, line):
            yield Part(part.read, start + part.end, part.arrays, part.rejects)
            row += part.read
        line, start = line + line_count(piece), start + len(piece)


def _extra(layout: Layout) -> Cursor:
    return {"delimiter": layout.delimiter, "columns": numbering.dumped(layout.columns)}


def _resumed(work: Work, cursor: Cursor) -> tuple[Layout, Place]:
    columns = numbering.loaded(str(cursor["columns"]))
    return Layout(str(cursor["delimiter"]), columns, work.columns or columns), numbering.place_of(cursor)


def _opened(work: Work, delimiter: str | None, header: bool | None) -> tuple[Layout, Place]:
    start = start_of_text(work.source)
    mark = delimiter or detect_delimiter(sample(work.source, start))
    names, place, own = _heading(work, start, mark, header)
    if work.columns is not None:
        columns, dataset = _matched(names, own is not None, work.columns), work.columns
    else:
        columns = dataset = _inferred(work, place.offset, mark, names)
    return Layout(mark, columns, dataset, tuple(own or (column.name for column in columns))), place


def _heading(work: Work, start: int, delimiter: str, header: bool | None) -> tuple[list[str], Place, list[str] | None]:
    """Column names, where the rows start, and what the file itself calls its columns, if it does."""
    block, found, line = _first_block(work, start, delimiter)
    end = int(found.ends[0])
    unnamed = column_names([f"column {position}" for position in range(1, int(found.widths[0]) + 1)])
    if header is False:
        return unnamed, Place(start, 1, 1), None
    first = _first_row(block.data[int(found.starts[0]) : end], delimiter)
    names = column_names(first)
    after = min(end + (2 if block.data[end : end + 2] == b"\r\n" else 1), len(block.data))
    if header or _is_header(first, names, block.data[after:], delimiter, work.columns):
        return names, Place(block.offset + after, 1, line + line_count(block.data[:after])), first
    return unnamed, Place(start, 1, 1), None


def _first_block(work: Work, start: int, delimiter: str) -> tuple[Block, Records, int]:
    """The first block with a record in it, and the line it starts on."""
    line = 1
    for block in blocks(work.source, start, delimiter.encode(), repeat(SAMPLE_BYTES)):
        found = records(block.data, delimiter.encode())
        if block.fault:
            break
        if len(found):
            return block, found, line
        line += block.lines
    raise InputError("unreadable_header", "The first row never ends.", suggestion="Check the quotes in the first row.")


def _first_row(record: bytes, delimiter: str) -> list[str]:
    try:
        return fields(record, delimiter)
    except UnicodeDecodeError as error:
        raise InputError(
            "unsupported_encoding",
            f"The first row is not UTF-8 (at byte {error.start + 1} of a field).",
            suggestion="Save the file as UTF-8 and send it again.",
        ) from error


def _is_header(
    first: list[str], names: list[str], below: bytes, delimiter: str, dataset: tuple[Column, ...] | None
) -> bool:
    if dataset and set(names) <= {column.name for column in dataset}:
        return True
    _, _, texts, _ = strings(below, delimiter, len(first))
    return detect_header(first, texts)


def _matched(names: list[str], has_header: bool, dataset: tuple[Column, ...]) -> tuple[Column, ...]:
    """The dataset's columns in the file's order. Without a header, as many columns as the dataset has are believed."""
    by_name = {column.name: column for column in dataset}
    unknown = [name for name in names if name not in by_name]
    if not unknown:
        return tuple(by_name[name] for name in names)
    if not has_header and len(names) == len(dataset):
        return dataset
    raise InputError(
        "schema_mismatch",
        f"The dataset has no column {', '.join(unknown[:10])}; it has {', '.join(by_name)[:500]}.",
        suggestion="Rename or remove these columns in the file, or use another dataset.",
    )


def _inferred(work: Work, offset: int, delimiter: str, names: list[str]) -> tuple[Column, ...]:
    """Columns from the first block that has rows; all text if there is none."""
    for block in blocks(work.source, offset, delimiter.encode(), repeat(min(INFER_BYTES, work.chunk_bytes))):
        if block.fault:
            continue
        cut = pieces(block.data, delimiter.encode(), PIECE_LINES)
        texts = [strings(piece, delimiter, len(names))[2] for piece in cut]
        columns = [pa.chunked_array(column, pa.string()) for column in zip(*texts, strict=True)]
        if columns and len(columns[0]):
            return tuple(infer(name, column) for name, column in zip(names, columns, strict=True))
    return tuple(Column(name, ColumnType.TEXT) for name in names)
