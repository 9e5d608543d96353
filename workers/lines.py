"""A file of JSON objects, one a line (NDJSON), as resumable chunks. The first chunk's keys are the columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import BinaryIO, cast

from service.domain.chunk import Chunk
from service.domain.json_options import JsonOptions
from service.domain.processor import Cut, Work
from workers import numbering, objects
from workers.explaining import explained
from workers.heading import start_of_text
from workers.numbering import CUT_BYTES, Part, Place
from workers.objects import PIECE_ROWS, Layout, Record, Row
from workers.reading import Reading, opened
from workers.records import Block, blocks, count, line_count, pieces, records
from workers.sources import reading_of
from workers.unpacking import DOCUMENTS
from workers.widening import Watch


def read(work: Work, options: JsonOptions) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. Raises InputError, TooNarrow."""
    how, found = (
        (Reading.loaded(str(work.cursor["reading"])), [])
        if work.cursor
        else reading_of(work.source, member=options.member, legacy=False, wanted=DOCUMENTS)
    )
    text = opened(work.source, how)
    work = replace(work, source=cast(BinaryIO, text))
    if work.cursor:
        place, layout = numbering.place_of(work.cursor), objects.resumed(work, options, work.cursor)
    else:
        place = Place(start_of_text(work.source), 1, 1)
        layout = objects.planned(work, options, _samples(work, options, place.offset))
    extra = {"reading": how.dumped(), "columns": numbering.dumped(layout.shape.columns), "file": layout.file.dumped()}
    watch = None if work.widens is None else Watch(work.widens)
    header, brings = layout.file.written, layout.shape.names
    evidence = explained(layout.file, layout.shape, reading=how, evidence=found) if work.explains else None
    for block in blocks(work.source, place.offset, None, numbering.sizes(place, work.chunk_bytes)):
        last = None
        parts = _parts(block, place, layout, watch)
        for last in numbering.chunks(block, place, parts, layout.dataset, extra):
            yield replace(last, done=text.done(last.done), header=header, brings=brings, evidence=evidence)
            evidence = None
        place = numbering.behind(block, place, last)


def cuts(work: Work, every: int) -> Iterator[Cut]:
    """Where the file behind the work's cursor can be cut."""
    if work.cursor and Reading.loaded(str(work.cursor["reading"])).is_plain:
        place = numbering.place_of(work.cursor)
        found = blocks(work.source, place.offset, None, repeat(min(CUT_BYTES, every)))
        yield from numbering.cuts(found, place, every, lambda data: count(data, None), work.cursor)


def _parts(block: Block, place: Place, layout: Layout, watch: Watch | None) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, None, PIECE_ROWS):
        start += len(piece)
        part = objects.part(_records(piece, layout, line), layout, row, start, watch)
        row, line = row + part.read, line + line_count(piece)
        if part.read:
            yield part


def _records(piece: bytes, layout: Layout, first_line: int) -> list[Record]:
    found = records(piece, None)
    lines = zip(found.starts.tolist(), found.ends.tolist(), found.lines.tolist(), strict=True)
    raws = [(piece[start:end], first_line + line) for start, end, line in lines]
    return [Record(raw, line, layout.row(objects.parsed(raw))) for raw, line in raws]


def _samples(work: Work, options: JsonOptions, offset: int) -> Iterator[list[Row]]:
    """The objects of the first block that has any."""
    flattens, any_yet = options.nested == "flatten", False
    for block in blocks(work.source, offset, None, repeat(work.chunk_bytes)):
        for piece in pieces(block.data, None, PIECE_ROWS) if block.fault is None else ():
            rows = [objects.named(objects.parsed(line), flattens) for line in piece.splitlines() if line]
            good = [row for row in rows if isinstance(row, dict)]
            any_yet |= any(good)
            yield good
        if any_yet:
            return
