"""A delimited file as resumable chunks: reads it block by block from where its rows start, or from a cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from service.domain.processor import Chunk, Cursor, Work
from workers import formats, numbering, reading
from workers.dialect import Dialect
from workers.numbering import PIECE_LINES, Part, Place
from workers.opening import Given, Layout, opened
from workers.parsing import masked, typed
from workers.reading import Reading, Text
from workers.records import Block, blocks, line_count, pieces


def read(work: Work, given: Given) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. What is not given is found out."""
    layout, text, place = _resumed(work, work.cursor) if work.cursor else opened(work, given)
    extra = _extra(layout)
    chunk = None
    for block in blocks(text, place.offset, layout.dialect, numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, layout), layout.dataset, extra):
            yield (chunk := _told(last, layout, text))
        place = numbering.behind(block, place, last)
    if chunk is None and work.cursor is None:
        empty = numbering.chunk(Part(0, 0, {}), place.row, layout.dataset, place, place.offset, extra)
        yield _told(empty, layout, text)


def _told(chunk: Chunk, layout: Layout, text: Text) -> Chunk:
    """The chunk in terms of the file: how far into its bytes, and under the names that it has for its columns."""
    told = replace(chunk, done=text.done(chunk.done), header=layout.header)
    if layout.dialect.spelling is None or not chunk.rejects:
        return told
    mark, spelling = layout.dialect.delimiter, layout.dialect.spelling
    return replace(told, rejects=tuple(replace(r, raw=r.raw.replace(mark, spelling)) for r in chunk.rejects))


def _parts(block: Block, place: Place, layout: Layout) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    whole = typed(block.data, layout.dialect, layout.columns, layout.formats)
    if whole:
        yield whole
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, layout.dialect, PIECE_LINES):
        for part in masked(piece, layout.dialect, layout.columns, layout.formats, row, line):
            yield Part(part.read, start + part.end, part.arrays, part.rejects)
            row += part.read
        line, start = line + line_count(piece), start + len(piece)


def _extra(layout: Layout) -> Cursor:
    return {
        "reading": layout.reading.dumped(),
        "dialect": layout.dialect.dumped(),
        "columns": numbering.dumped(layout.columns),
        "formats": formats.dumped(layout.formats),
        "header": json.dumps(layout.header),
    }


def _resumed(work: Work, cursor: Cursor) -> tuple[Layout, Text, Place]:
    how = Reading.loaded(str(cursor["reading"]))
    columns = numbering.loaded(str(cursor["columns"]))
    header = json.loads(str(cursor["header"]))
    layout = Layout(
        how,
        Dialect.loaded(str(cursor["dialect"])),
        columns,
        formats.loaded(str(cursor["formats"])),
        work.columns or columns,
        None if header is None else tuple(header),
    )
    return layout, reading.opened(work.source, how), numbering.place_of(cursor)
