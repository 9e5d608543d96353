"""Rejects that come back corrected: reads the table that people mended into the typed rows of the job's dataset.

Its rows are numbered by where they stand in it. In front of the dataset's columns each has those of `BESIDE`, so that
it can be compared with what was handed out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain import correction
from service.domain.csv_text import HIDDEN, restored
from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, ColumnType, Fault, Reject, Work
from workers import numbering
from workers.casting import cast, reason
from workers.columns import column_names
from workers.dialect import detect_delimiter, sample, start_of_text
from workers.numbering import PIECE_LINES, Part, Place, is_cut, kept
from workers.parsing import fields, strings
from workers.records import Block, blocks, line_count, pieces, records

_NUMBER = Column(correction.ROW, ColumnType.BIGINT)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the table is cut, and where in it `_row` and the file's own columns stand."""

    delimiter: str
    width: int
    places: tuple[int, ...]
    columns: tuple[Column, ...]  # of the dataset, in the order of the file's own


async def chunks(work: Work, header: Sequence[str]) -> AsyncIterator[Chunk]:
    """The chunks behind the work's cursor. Raises InputError for a table without `_row` or a column of `header`."""
    assert work.columns is not None
    layout, place = _opened(work, header, work.columns)
    columns = (*correction.BESIDE, *work.columns)
    delimiter = layout.delimiter.encode()
    for block in blocks(work.source, place.offset, delimiter, numbering.sizes(place, work.chunk_bytes)):
        last = None
        for last in numbering.chunks(block, place, _parts(block, place, layout), columns, {}):
            yield last
        place = numbering.behind(block, place, last)


def _opened(work: Work, header: Sequence[str], dataset: tuple[Column, ...]) -> tuple[Layout, Place]:
    start = start_of_text(work.source)
    delimiter = detect_delimiter(sample(work.source, start))
    block = next(blocks(work.source, start, delimiter.encode(), iter([numbering.FIRST_BYTES])))
    found = records(block.data, delimiter.encode())
    try:
        end = int(found.ends[0])
        names = [restored(name) for name in fields(block.data[int(found.starts[0]) : end], delimiter)]
    except (UnicodeDecodeError, IndexError):
        raise _unlike("The first line cannot be read.") from None
    after = min(end + (2 if block.data[end : end + 2] == b"\r\n" else 1), len(block.data))
    places = _places(names, (correction.ROW, *header))
    by_name = {column.name: column for column in dataset}
    columns = tuple(by_name.get(name, Column(name, ColumnType.TEXT)) for name in column_names(list(header)))
    layout = Layout(delimiter, len(names), places, columns)
    if work.cursor:
        return layout, numbering.place_of(work.cursor)
    return layout, Place(start + after, 1, 1 + line_count(block.data[:after]))


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
    for piece in pieces(block.data, layout.delimiter.encode(), PIECE_LINES):
        part = _part(piece, layout, row, line, start + len(piece))
        row, line, start = row + part.read, line + line_count(piece), start + len(piece)
        if part.read:
            yield part


def _part(piece: bytes, layout: Layout, first_row: int, first_line: int, end: int) -> Part:
    found, even, texts, undecodable = strings(piece, layout.delimiter, layout.width)
    own = [pc.replace_substring_regex(texts[place], HIDDEN, r"\1") for place in layout.places]
    cells = list(zip(*(column.to_pylist() for column in own), strict=True))
    faults: list[list[Fault]] = [[_NOT_UTF8] if bad else [] for bad in undecodable]
    arrays = {}
    for text, column in zip(own, (_NUMBER, *layout.columns), strict=True):
        arrays[column.name], bad = cast(text, column)
        if column is _NUMBER:
            bad = bad | arrays[column.name].is_null().to_numpy(zero_copy_only=False)
        for at in np.flatnonzero(bad).tolist():
            why = _NO_NUMBER if column is _NUMBER else Fault(column.name, *reason(column, text[at].as_py() or ""))
            faults[at].append(why)
    index = np.flatnonzero(even)
    arrays["_original"] = arrays.pop(_NUMBER.name)
    arrays["_line"] = pa.array(first_line + np.asarray(found.lines)[index], pa.int64())
    arrays["_cells"] = pa.array([json.dumps(row[1:]) for row in cells], pa.string())
    good = pa.array([not told for told in faults], pa.bool_())
    by_record = {int(at): n for n, at in enumerate(index)}
    rejects = []
    for at in range(len(found)):
        n = by_record.get(at)
        told = _wrong_width(int(found.widths[at]), layout.width) if n is None else faults[n]
        if told:
            raw = piece[int(found.starts[at]) : int(found.ends[at])]
            line = first_line + int(found.lines[at])
            rejects.append(_reject(first_row + at, line, told, raw, None if n is None else cells[n]))
    return Part(len(found), end, {name: array.filter(good) for name, array in arrays.items()}, tuple(rejects))


def _reject(row: int, line: int, faults: list[Fault], raw: bytes, cells: tuple[str | None, ...] | None) -> Reject:
    first = faults[0]
    several = tuple(faults) if len(faults) > 1 else ()
    told = (first.column, first.code, first.message, first.suggestion)
    if cells is not None:
        cells = tuple(None if cell is None else cell.replace("\0", "\N{SYMBOL FOR NULL}") for cell in cells)
    return Reject(row, line, *told, kept(raw), several, cells, is_cut(raw))


_NOT_UTF8 = Fault(None, "invalid_utf8", "The text is not UTF-8.", "Save the file as UTF-8 and send it again.")
_NO_NUMBER = Fault(
    correction.ROW,
    "unknown_row",
    "_row is not the number of a reject.",
    "Leave _row as it was in the table of the job's rejects.",
)


def _wrong_width(width: int, expected: int) -> list[Fault]:
    message = f"The row has {width} fields, the header has {expected}."
    return [Fault(None, "wrong_field_count", message, "Put quotes around a field that contains the delimiter.")]
