"""Opens a delimited file: its text, its dialect, its header, its columns, each found or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import BinaryIO

import pyarrow as pa

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError
from service.domain.processor import Work
from service.domain.row_options import RowOptions
from workers import reading
from workers.detection import STAND_INS, dialect_of
from workers.dialect import Dialect, Ragged
from workers.evidence import Evidence
from workers.formats import Format
from workers.heading import heading_of, start_of_text
from workers.mapping import Names
from workers.numbering import PIECE_LINES, Place
from workers.parsing import strings
from workers.planning import Sampled, plan
from workers.reading import Reading, Text
from workers.recognition import NO_WISHES, Wishes, recognise_all
from workers.records import blocks, boundary, pieces
from workers.shaping import Shape
from workers.sources import reading_of
from workers.trials import sample_of

INFER_BYTES = 2 * 1024 * 1024
"""How much of a file without given columns is looked at for their types, before its first row is stored."""
PLACES = 8
"""Where a large file is looked at as well, evenly over its length, PLACE_BYTES each."""
PLACE_BYTES = 64 * 1024
_DOCUMENT = re.compile(
    rb"""\s*+(?:(?P<json>\[\s*+[\[{]|\{\s*+"[^"\n]*+"\s*+:)|<\?xml\s|<!doctype\s|<html[\s>]|\{\\rtf|%PDF-)""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller says of the file; None means: look at it. `header` may be the number of header rows."""

    encoding: str | None = None
    member: str | None = None
    dialect: Mapping[str, str | None] = field(default_factory=dict)
    ragged: Ragged = "reject"
    header: bool | int | None = None
    skip_rows: int | None = None
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is read and cut, what it calls its columns and how it writes them, and what comes out of that.

    `evidence` says why, where the layout was found and not resumed.
    """

    reading: Reading
    dialect: Dialect
    file: Names
    formats: tuple[Format, ...]
    shape: Shape
    dataset: tuple[Column, ...]
    evidence: tuple[Evidence, ...] = ()


def opened(work: Work, options: RowOptions, given: Given) -> tuple[Layout, Text, Place]:
    """The layout, the text, and where its rows start. Raises InputError."""
    how, evidence = reading_of(work.source, given.encoding, given.member)
    text = reading.opened(work.source, how)
    start = start_of_text(text)
    place = _behind_notes(text, Place(start, 1, 1), given.skip_rows)
    asked = Dialect(**{"ragged": given.ragged, **given.dialect})  # type: ignore[arg-type]
    place, asked, fixed = _behind_hint(text, place, asked, frozenset(given.dialect))
    sample = sample_of(text, place.offset)
    if "delimiter" not in fixed:
        _refuse_documents(sample.data)
    if len(asked.delimiter.encode()) > 1:
        asked = replace(asked, spelling=asked.delimiter, delimiter=_stand_in(sample.data))
        fixed |= {"delimiter"}
    dialect, why = dialect_of(sample, asked, fixed)
    evidence += why
    if dialect.spelling is not None:
        how = replace(how, spelling=dialect.spelling, delimiter=dialect.delimiter)
        text = reading.opened(work.source, how)
        before = _prefix(work.source, replace(how, spelling=None), place.offset)
        place = replace(place, offset=len(before.replace(dialect.spelling.encode(), dialect.delimiter.encode())))
    heading = heading_of(text, place, dialect, given.header, given.skip_rows is None, work.columns)
    evidence += heading.evidence
    file, width = _believed(Names(heading.names, heading.header), options, work.columns), len(heading.names)
    texts = _texts(work, text, heading.place.offset, dialect, width, how.is_plain)
    written, cleaned, told = recognise_all(texts, list(file.names), given.wishes)
    shape = plan(file, options, work.columns, lambda: Sampled(cleaned), written, work.widens)
    evidence += [entry for entry in told if _matters(entry, file, shape)]
    return (
        Layout(how, dialect, file, written, shape, work.columns or shape.columns, tuple(evidence)),
        text,
        heading.place,
    )


def _behind_notes(text: Text, place: Place, lines: int | None) -> Place:
    """Behind the lines that the caller wants skipped."""
    for _ in range(lines or 0):
        text.seek(place.offset)
        found = re.search(rb"\r\n|\n|\r", text.read(1024 * 1024))
        if found is None:
            break
        place = replace(place, offset=place.offset + found.end(), line=place.line + 1)
    return place


def _behind_hint(
    text: Text, place: Place, asked: Dialect, fixed: frozenset[str]
) -> tuple[Place, Dialect, frozenset[str]]:
    """Behind a first line such as sep=; which spreadsheets write and heed."""
    text.seek(place.offset)
    found = re.match(rb'"?sep=([^\0\n\r"\x7f-\xff])"?(?:\r\n|\n|\r)', text.read(16), re.IGNORECASE)
    if found is None:
        return place, asked, fixed
    if "delimiter" not in fixed:
        asked = replace(asked, delimiter=found[1].decode())
    behind = replace(place, offset=place.offset + found.end(), line=place.line + 1)
    return behind, asked, fixed | {"delimiter"}


def _refuse_documents(data: bytes) -> None:
    """Raise InputError for text that says by its beginning that it is something else."""
    if found := _DOCUMENT.match(data):
        kind = "JSON" if found["json"] else "a document, such as a web page"
        raise InputError(
            "not_delimited_text",
            f"The file begins like {kind}, not like delimited text.",
            suggestion="Use a processor for such files, or name the delimiter if it is a table all the same.",
        )


def _stand_in(data: bytes) -> str:
    return next((c for c in STAND_INS if c.encode() not in data), STAND_INS[0])


def _prefix(source: BinaryIO, how: Reading, size: int) -> bytes:
    text = reading.opened(source, how)
    text.seek(0)
    return text.read(size)


def _matters(entry: Evidence, file: Names, shape: Shape) -> bool:
    """Whether a format is that of a column which comes out typed."""
    sources = {field.source for field in shape.fields if field.column.type is not ColumnType.TEXT}
    return entry.column in file.names and file.names.index(entry.column) in sources


def _believed(file: Names, options: RowOptions, dataset: tuple[Column, ...] | None) -> Names:
    """Without a header, a file of as many columns as the dataset has is taken to have these."""
    is_named = file.header is not None or options.columns or options.rename or options.drop
    if is_named or dataset is None or len(dataset) != len(file.names):
        return file
    names = [column.name for column in dataset]
    return file if set(file.names) <= set(names) else Names(names)


def _texts(work: Work, text: Text, offset: int, dialect: Dialect, width: int, is_plain: bool) -> list[pa.Array]:
    """The first rows by column as text, and some from further on in a large file; no rows if there are none."""
    # Types are found out from no more than a chunk; how values are written, where these are given, from all there is.
    size = min(INFER_BYTES, work.chunk_bytes) if work.columns is None else INFER_BYTES
    for block in blocks(text, offset, dialect, repeat(size)):
        if block.fault:
            continue
        texts = [strings(piece, dialect, width)[2] for piece in pieces(block.data, dialect, PIECE_LINES)]
        if texts and any(len(columns[0]) for columns in texts):
            if is_plain:
                texts += _further(work, block.end, dialect, width)
            return [pa.concat_arrays(column) for column in zip(*texts, strict=True)]
    return [pa.array([], pa.string())] * width


def _further(work: Work, start: int, dialect: Dialect, width: int) -> Iterator[list[pa.Array]]:
    """Rows from several places behind `start`. A place whose rows are not all of one width may be inside quotes."""
    if work.total - start < PLACES * INFER_BYTES or width == 1:
        return
    for number in range(1, PLACES + 1):
        work.source.seek(start + (work.total - start) * number // (PLACES + 1))
        data = work.source.read(PLACE_BYTES)
        first = data.find(b"\n") + 1
        last = first + boundary(data[first:], dialect)
        if first and last > first:
            _, even, texts, undecodable = strings(data[first:last], dialect, width)
            if even.all() and not undecodable.any():
                yield texts
