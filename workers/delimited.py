"""A delimited file as resumable chunks: reads it block by block from where its rows start, or from a cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from typing import Any

from service.domain.chunk import Chunk, Cursor
from service.domain.processor import Cut, Work
from service.domain.row_options import RowOptions
from workers import formats, numbering, reading
from workers.dialect import Dialect
from workers.explaining import explained
from workers.mapping import Names
from workers.numbering import CUT_BYTES, Part, Place
from workers.opening import Given, Layout, opened
from workers.parsing import parts
from workers.planning import Sampled, plan
from workers.reading import Reading, Text
from workers.records import Block, blocks, count, line_count, pieces
from workers.widening import Watch

MANY_LINES = 262_144
"""A block with more lines is read in parts: memory grows with rows and not only with bytes."""


def read(work: Work, options: RowOptions, given: Given) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. What is not given is found out. Raises InputError, TooNarrow."""
    opening = _resumed(work, options, work.cursor) if work.cursor else opened(work, options, given)
    layout, text, place = opening
    watch = None if work.widens is None else Watch(work.widens)
    extra, why = _extra(layout), _explained(layout) if work.explains else None
    chunk, doubtful = None, set[int]()
    for block in blocks(text, place.offset, layout.dialect, numbering.sizes(place, work.chunk_bytes)):
        found = _parts(block, place, layout, watch, doubtful)
        last = None
        for last in numbering.chunks(block, place, found, layout.dataset, extra):
            yield (chunk := _told(last, layout, text, None if chunk else why))
        place = numbering.behind(block, place, last)
    if chunk is None and work.cursor is None:
        empty = numbering.chunk(Part(0, 0, {}), place.row, layout.dataset, place, place.offset, extra)
        yield _told(empty, layout, text, why)


def cuts(work: Work, every: int) -> Iterator[Cut]:
    """Where the file behind the work's cursor can be cut: nowhere if it has to be unpacked or decoded."""
    if work.cursor and Reading.loaded(str(work.cursor["reading"])).is_plain:
        place, dialect = numbering.place_of(work.cursor), Dialect.loaded(str(work.cursor["dialect"]))
        found = blocks(work.source, place.offset, dialect, repeat(min(CUT_BYTES, every)))
        yield from numbering.cuts(found, place, every, lambda data: count(data, dialect), work.cursor)


def _told(chunk: Chunk, layout: Layout, text: Text, why: Mapping[str, Any] | None) -> Chunk:
    """The chunk in terms of the file: how far into its bytes, and under the names that it has for its columns."""
    header, brings = layout.file.written, layout.shape.names
    told = replace(chunk, done=text.done(chunk.done), header=header, brings=brings, evidence=why)
    if layout.dialect.spelling is None or not chunk.rejects:
        return told
    mark, spelling = layout.dialect.delimiter, layout.dialect.spelling
    return replace(told, rejects=tuple(replace(r, raw=r.raw.replace(mark, spelling)) for r in chunk.rejects))


def _explained(layout: Layout) -> Mapping[str, Any]:
    return explained(layout.file, layout.shape, layout.dialect, layout.reading, layout.evidence)


def _parts(block: Block, place: Place, layout: Layout, watch: Watch | None, doubtful: set[int]) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    row, line, start = place.row, place.line, 0
    cut = pieces(block.data, layout.dialect, MANY_LINES) if block.lines > MANY_LINES else [block.data]
    for piece in cut:
        for part in parts(piece, layout.dialect, layout.shape, row, line, watch, doubtful, tidy=block.tidy):
            yield Part(part.read, start + part.end, part.arrays, part.rejects)
            row += part.read
        start += len(piece)
        line += line_count(piece) if start < len(block.data) else 0


def _extra(layout: Layout) -> Cursor:
    return {
        "reading": layout.reading.dumped(),
        "dialect": layout.dialect.dumped(),
        "file": layout.file.dumped(),
        "columns": numbering.dumped(layout.shape.columns),
        "formats": formats.dumped(layout.formats),
    }


def _resumed(work: Work, options: RowOptions, cursor: Cursor) -> tuple[Layout, Text, Place]:
    how, dialect = Reading.loaded(str(cursor["reading"])), Dialect.loaded(str(cursor["dialect"]))
    file, columns = Names.loaded(str(cursor["file"])), work.columns or numbering.loaded(str(cursor["columns"]))
    written = formats.loaded(str(cursor["formats"]))
    shape = plan(file, options, columns, lambda: Sampled(()), written)
    layout = Layout(how, dialect, file, written, shape, columns)
    return layout, reading.opened(work.source, how), numbering.place_of(cursor)
