"""Rejects that come back corrected: reads the table that people mended into the typed rows of the job's dataset.

Its rows are numbered by where they stand in it. In front of the dataset's columns each has those of `BESIDE`, so that
it can be compared with what was handed out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain import correction
from service.domain.chunk import Chunk, Column, ColumnType, Cursor, Fault
from service.domain.csv_text import HIDDEN, restored
from service.domain.errors import InputError
from service.domain.processor import Work
from service.domain.row_options import RowOptions
from workers import formats, numbering
from workers.arrow_csv import fields
from workers.casting import cast
from workers.cells import flags
from workers.dialect import Dialect
from workers.heading import start_of_text
from workers.mapping import Names
from workers.numbering import PIECE_LINES, Part, Place, readable, rejected
from workers.parsing import strings
from workers.planning import Sampled, plan
from workers.reading import Text, opened
from workers.records import Block, blocks, line_count, pieces, records
from workers.shaping import Shape
from workers.sources import reading_of

_NUMBER = Column(correction.ROW, ColumnType.BIGINT)


DELIMITERS = (",", ";", "\t", "|")
"""With which spreadsheets save a table."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the table is cut, where in it `_row` and the file's own columns stand, and what becomes of these."""

    dialect: Dialect
    width: int
    places: tuple[int, ...]
    shape: Shape


async def chunks(work: Work, first: Cursor) -> AsyncIterator[Chunk]:
    """The chunks behind the work's cursor; `first` is the cursor of the job whose rejects these were.

    Raises InputError for a table without `_row` or one of the file's columns.
    """
    assert work.columns is not None
    assert isinstance(work.options, RowOptions)
    file = Names.loaded(str(first["file"]))
    written = formats.loaded(str(first["formats"])) if "formats" in first else None
    shape = plan(file, work.options, work.columns, lambda: Sampled(()), written)
    text = opened(work.source, reading_of(work.source)[0])
    layout, place = _opened(work, text, file.header or file.names, shape)
    columns = (*correction.BESIDE, *work.columns)
    for block in blocks(text, place.offset, layout.dialect, numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, layout), columns, {}):
            yield replace(last, done=text.done(last.done))
        place = numbering.behind(block, place, last)


def _opened(work: Work, text: Text, header: Sequence[str], shape: Shape) -> tuple[Layout, Place]:
    start = start_of_text(text)
    wanted = (correction.ROW, *header)
    dialect, names, after = max(
        (_first_line(text, start, Dialect(mark)) for mark in DELIMITERS), key=lambda read: len(set(read[1]) & {*wanted})
    )
    layout = Layout(dialect, len(names), _places(names, wanted), shape)
    if work.cursor:
        return layout, numbering.place_of(work.cursor)
    return layout, after


def _first_line(text: Text, start: int, dialect: Dialect) -> tuple[Dialect, list[str], Place]:
    """The names in the first line, as this dialect cuts it, and where the rows start."""
    block = next(blocks(text, start, dialect, iter([numbering.FIRST_BYTES])))
    found = records(block.data, dialect)
    try:
        end = int(found.ends[0])
        names = [restored(name) for name in fields(block.data[int(found.starts[0]) : end], dialect)]
    except (UnicodeDecodeError, IndexError):
        return dialect, [], Place(start, 1, 1)
    after = min(end + (2 if block.data[end : end + 2] == b"\r\n" else 1), len(block.data))
    return dialect, names, Place(start + after, 1, 1 + line_count(block.data[:after]))


def _places(names: list[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Where each wanted column stands; of several of one name, each is taken once."""
    free = list(enumerate(names))
    places = []
    for name in wanted:
        found = next((place for place in free if place[1] == name), None)
        if found is None:
            raise _unlike(f"It has no column {name!r}.")
        free.remove(found)
        places.append(found[0])
    return tuple(places)


def _unlike(what: str) -> InputError:
    return InputError(
        "schema_mismatch",
        f"This is not the table of the job's rejects. {what}",
        suggestion="Download it again as CSV, correct the cells, and leave its first line as it is.",
    )


def _parts(block: Block, place: Place, layout: Layout) -> Iterator[Part]:
    if block.fault:
        yield numbering.unreadable(block, place)
        return
    row, line, start = place.row, place.line, 0
    for piece in pieces(block.data, layout.dialect, PIECE_LINES):
        part = _part(piece, layout, row, line, start + len(piece))
        row, line, start = row + part.read, line + line_count(piece), start + len(piece)
        if part.read:
            yield part


def _part(piece: bytes, layout: Layout, first_row: int, first_line: int, end: int) -> Part:
    found, even, texts, undecodable = strings(piece, layout.dialect, layout.width)
    number, *own = (pc.replace_substring_regex(texts[place], HIDDEN, r"\1") for place in layout.places)
    originals, strange = cast(number, _NUMBER)
    strange = strange | flags(originals.is_null())
    shaped = layout.shape.shaped(own, len(number))
    bad = shaped.bad | strange | undecodable
    cells = list(zip(number.to_pylist(), *(column.to_pylist() for column in own), strict=True))
    index = np.flatnonzero(even)
    arrays = {
        **shaped.arrays,
        "_original": originals,
        "_line": pa.array(first_line + np.asarray(found.lines)[index], pa.int64()),
        "_cells": pa.array([json.dumps(row[1:]) for row in cells], pa.string()),
    }
    at = np.full(len(found), -1)
    at[even] = np.arange(len(index))
    wrong = np.flatnonzero(bad)
    told = dict(zip(wrong.tolist(), shaped.faults(wrong), strict=True))
    rejects = []
    for record, place in enumerate(at.tolist()):
        if place >= 0 and not bad[place]:
            continue
        faults: tuple[Fault, ...] = (_wrong_width(int(found.widths[record]), layout.width),)
        if place >= 0:
            faults = _NO_NUMBER * bool(strange[place]) + _NOT_UTF8 * bool(undecodable[place]) + told[place]
        raw = piece[int(found.starts[record]) : int(found.ends[record])]
        said = tuple(cell and readable(cell) for cell in cells[place]) if place >= 0 else None
        rejects.append(rejected(first_row + record, first_line + int(found.lines[record]), faults, raw, said))
    good = pa.array(~bad)
    return Part(len(found), end, {name: array.filter(good) for name, array in arrays.items()}, tuple(rejects))


_NOT_UTF8 = (Fault(None, "invalid_utf8", "The text is not UTF-8.", "Save the file as UTF-8 and send it again."),)
_NO_NUMBER = (
    Fault(
        correction.ROW,
        "unknown_row",
        "_row is not the number of a reject.",
        "Leave _row as it was in the table of the job's rejects.",
    ),
)


def _wrong_width(width: int, expected: int) -> Fault:
    return Fault(
        None,
        "wrong_field_count",
        f"The row has {width} fields, the header has {expected}.",
        "Put quotes around a field that contains the delimiter.",
    )
