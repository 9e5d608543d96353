"""A JSON document's array, or its one value, as resumable chunks of rows, in the memory of a chunk.

The keys of the first objects are the columns. Where they are no objects, there is one column, `value`. The cursor
stands behind an element.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, cast

from service.domain.chunk import Chunk, Fault
from service.domain.json_options import JsonOptions
from service.domain.processor import Work
from workers import numbering, objects
from workers.elements import Element, elements
from workers.explaining import explained
from workers.numbering import Place
from workers.objects import PIECE_ROWS, Layout, Record
from workers.reading import Reading, opened
from workers.sources import reading_of
from workers.unpacking import DOCUMENTS
from workers.widening import Watch

VALUE = "value"
"""The column of what is no object."""


def read(work: Work, options: JsonOptions, path: tuple[str, ...]) -> Iterator[Chunk]:
    """The chunks behind the work's cursor. An empty array has none. Raises InputError, TooNarrow."""
    how, found = (
        (Reading.loaded(str(work.cursor["reading"])), [])
        if work.cursor
        else reading_of(work.source, member=options.member, legacy=False, wanted=DOCUMENTS)
    )
    text = opened(work.source, how)
    source = cast(BinaryIO, text)
    if work.cursor:
        place, layout = numbering.place_of(work.cursor), objects.resumed(work, options, work.cursor)
        wraps = bool(work.cursor["wraps"])
    else:
        place = Place(0, 1, 1)
        head = next(_lots(elements(source, path), iter([work.chunk_bytes])), None)
        if head is None:
            return
        wraps = not any(isinstance(element.value, dict) and element.value for element in head)
        flattens = options.nested == "flatten"
        rows = [objects.named(_value(element, wraps), flattens) for element in head]
        layout = objects.planned(work, options, [[row for row in rows if isinstance(row, dict)]])
    extra: dict[str, int | str | None] = {
        "reading": how.dumped(),
        "columns": numbering.dumped(layout.shape.columns),
        "file": layout.file.dumped(),
        "wraps": int(wraps),
    }
    if work.cursor and work.cursor["is_only"]:
        return
    watch = None if work.widens is None else Watch(work.widens)
    evidence = explained(layout.file, layout.shape, reading=how, evidence=found) if work.explains else None
    sizes = numbering.sizes(place, work.chunk_bytes)
    for lot in _lots(elements(source, path, place.offset, place.line), sizes):
        last = lot[-1]
        part = objects.part(_records(lot, layout, wraps), layout, place.row, last.end, watch)
        after = Place(last.end, place.row + part.read, last.line + last.text.count("\n"))
        cursor = {**extra, "is_only": int(last.is_only)}
        chunk = numbering.chunk(part, place.row, layout.dataset, after, text.done(last.end), cursor)
        yield replace(chunk, header=layout.file.written, brings=layout.shape.names, evidence=evidence)
        place, evidence = after, None


def _lots(items: Iterator[Element], sizes: Iterator[int]) -> Iterator[list[Element]]:
    """The elements by so many characters at a time."""
    lot, size, most = list[Element](), 0, next(sizes)
    for element in items:
        lot.append(element)
        size += len(element.text)
        if size >= most or len(lot) >= PIECE_ROWS:
            yield lot
            if (following := next(sizes, None)) is None:
                return
            lot, size, most = [], 0, following
    if lot:
        yield lot


def _records(lot: list[Element], layout: Layout, wraps: bool) -> list[Record]:
    return [Record(element.text.encode(), element.line, layout.row(_value(element, wraps))) for element in lot]


def _value(element: Element, wraps: bool) -> objects.Json | Fault:
    value = objects.checked(element.value, element.text)
    return {VALUE: value} if wraps and not isinstance(value, Fault) else value
