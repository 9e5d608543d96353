"""A delimited file as resumable chunks: opens it, settles its columns, and reads it block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, Cursor, Work
from service.domain.row_options import RowOptions
from workers import formats, numbering
from workers.columns import column_names
from workers.detection import SAMPLE_BYTES, detect_delimiter, detect_header, sample, start_of_text
from workers.dialect import Dialect
from workers.formats import PLAIN, Format
from workers.mapping import Names
from workers.numbering import PIECE_LINES, Part, Place
from workers.parsing import fields, masked, strings, typed
from workers.planning import Sampled, plan
from workers.records import Block, Records, blocks, boundary, line_count, pieces, records
from workers.shaping import Shape
from workers.widening import Watch

FILE_COLUMNS = 16_384
"""As wide as a file may be, if only some of its columns are kept."""

INFER_BYTES = 2 * 1024 * 1024
"""How much of a file without given columns is looked at for their types, before its first row is stored."""


PLACES = 8
"""Where a large file is looked at as well, evenly over its length, SAMPLE_BYTES each."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is cut, what it calls its columns and how it writes them, and what comes out of that."""

    dialect: Dialect
    file: Names
    formats: tuple[Format, ...]
    shape: Shape
    dataset: tuple[Column, ...]


def read(work: Work, options: RowOptions, delimiter: str | None, has_header: bool | None) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. `delimiter` and `has_header` are found out where None. Raises TooNarrow."""
    if work.cursor:
        layout, place = _resumed(work, options, work.cursor)
    else:
        layout, place = _opened(work, options, delimiter, has_header)
    watch = None if work.widens is None else Watch(work.widens)
    extra, header, brings = _extra(layout), layout.file.written, layout.shape.names
    chunk = None
    for block in blocks(work.source, place.offset, layout.dialect, numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, layout, watch), layout.dataset, extra):
            yield (chunk := replace(last, header=header, brings=brings))
        place = numbering.behind(block, place, last)
    if chunk is None and work.cursor is None:
        empty = numbering.chunk(Part(0, 0, {}), place.row, layout.dataset, place, place.offset, extra)
        yield replace(empty, header=header, brings=brings)


def _parts(block: Block, place: Place, layout: Layout, watch: Watch | None) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    whole = typed(block.data, layout.dialect, layout.shape)
    if whole:
        yield whole
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, layout.dialect, PIECE_LINES):
        for part in masked(piece, layout.dialect, layout.shape, row, line, watch):
            yield Part(part.read, start + part.end, part.arrays, part.rejects)
            row += part.read
        line, start = line + line_count(piece), start + len(piece)


def _extra(layout: Layout) -> Cursor:
    return {
        "dialect": layout.dialect.dumped(),
        "file": layout.file.dumped(),
        "columns": numbering.dumped(layout.shape.columns),
        "formats": formats.dumped(layout.formats),
    }


def _resumed(work: Work, options: RowOptions, cursor: Cursor) -> tuple[Layout, Place]:
    dialect, written = Dialect.loaded(str(cursor["dialect"])), formats.loaded(str(cursor["formats"]))
    file, columns = Names.loaded(str(cursor["file"])), work.columns or numbering.loaded(str(cursor["columns"]))
    shape = plan(file, options, columns, lambda: Sampled(()), written)
    return Layout(dialect, file, written, shape, columns), numbering.place_of(cursor)


def _opened(work: Work, options: RowOptions, delimiter: str | None, header: bool | None) -> tuple[Layout, Place]:
    start = start_of_text(work.source)
    dialect = Dialect(delimiter or detect_delimiter(sample(work.source, start)))
    found, place = _heading(work, start, dialect, header)
    file, width = _believed(found, options, work.columns), len(found.names)
    written = (PLAIN,) * width
    shape = plan(file, options, work.columns, lambda: _sample(work, place.offset, dialect, width), written, work.widens)
    return Layout(dialect, file, written, shape, work.columns or shape.columns), place


def _believed(file: Names, options: RowOptions, dataset: tuple[Column, ...] | None) -> Names:
    """Without a header, a file of as many columns as the dataset has is taken to have these."""
    is_named = file.header is not None or options.columns or options.rename or options.drop
    if is_named or dataset is None or len(dataset) != len(file.names):
        return file
    names = [column.name for column in dataset]
    return file if set(file.names) <= set(names) else Names(names)


def _heading(work: Work, start: int, dialect: Dialect, header: bool | None) -> tuple[Names, Place]:
    """What the file calls its columns, with its header if it has one, and where the rows start."""
    block, found, line = _first_block(work, start, dialect)
    end = int(found.ends[0])
    positions = range(1, int(found.widths[0]) + 1)
    unnamed = Names(column_names([f"column {position}" for position in positions], FILE_COLUMNS))
    if header is False:
        return unnamed, Place(start, 1, 1)
    first = _first_row(block.data[int(found.starts[0]) : end], dialect)
    named = Names(column_names(first, FILE_COLUMNS), first)
    after = min(end + (2 if block.data[end : end + 2] == b"\r\n" else 1), len(block.data))
    if header or _is_header(named, block.data[after:], dialect, work.columns):
        return named, Place(block.offset + after, 1, line + line_count(block.data[:after]))
    return unnamed, Place(start, 1, 1)


def _first_block(work: Work, start: int, dialect: Dialect) -> tuple[Block, Records, int]:
    """The first block with a record in it, and the line it starts on."""
    line = 1
    for block in blocks(work.source, start, dialect, repeat(SAMPLE_BYTES)):
        found = records(block.data, dialect)
        if block.fault:
            break
        if len(found):
            return block, found, line
        line += block.lines
    raise InputError("unreadable_header", "The first row never ends.", suggestion="Check the quotes in the first row.")


def _first_row(record: bytes, dialect: Dialect) -> list[str]:
    try:
        return fields(record, dialect)
    except UnicodeDecodeError as error:
        raise InputError(
            "unsupported_encoding",
            f"The first row is not UTF-8 (at byte {error.start + 1} of a field).",
            suggestion="Save the file as UTF-8 and send it again.",
        ) from error


def _is_header(named: Names, below: bytes, dialect: Dialect, dataset: tuple[Column, ...] | None) -> bool:
    if dataset and set(named.names) <= {column.name for column in dataset}:
        return True
    first = list(named.header or ())
    _, _, texts, _ = strings(below, dialect, len(first))
    return detect_header(first, texts)


def _sample(work: Work, offset: int, dialect: Dialect, width: int) -> Sampled:
    """The text of the first rows by column, and of some further on in a large file; no rows if there are none."""
    for block in blocks(work.source, offset, dialect, repeat(min(INFER_BYTES, work.chunk_bytes))):
        if block.fault:
            continue
        cut = pieces(block.data, dialect, PIECE_LINES)
        texts = [strings(piece, dialect, width)[2] for piece in cut]
        if texts and any(len(columns[0]) for columns in texts):
            texts += _further(work, block.end, dialect, width)
            return Sampled([pa.concat_arrays(column) for column in zip(*texts, strict=True)])
    return Sampled([pa.array([], pa.string())] * width)


def _further(work: Work, start: int, dialect: Dialect, width: int) -> Iterator[list[pa.Array]]:
    """Rows from several places behind `start`. A place whose rows are not all of one width may be inside quotes."""
    if work.total - start < PLACES * INFER_BYTES or width == 1:
        return
    for number in range(1, PLACES + 1):
        data = sample(work.source, start + (work.total - start) * number // (PLACES + 1))
        first = data.find(b"\n") + 1
        last = first + boundary(data[first:], dialect)
        if first and last > first:
            _, even, texts, undecodable = strings(data[first:last], dialect, width)
            if even.all() and not undecodable.any():
                yield texts
