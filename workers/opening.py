"""Opens a delimited file: its text, its dialect, its header, its columns, each found or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import BinaryIO

import pyarrow as pa

from service.domain.errors import InputError
from service.domain.processor import Column, ColumnType, Work
from workers import reading
from workers.columns import infer
from workers.detection import SAMPLE_BYTES, STAND_INS, Sample, dialect_of
from workers.dialect import Dialect, Ragged
from workers.evidence import Evidence
from workers.formats import PLAIN, Format
from workers.heading import Heading, heading_of, start_of_text
from workers.numbering import PIECE_LINES, Place
from workers.parsing import strings
from workers.reading import Reading, Text
from workers.recognition import NO_WISHES, Wishes, fitted, recognise_all
from workers.records import blocks, pieces
from workers.sources import reading_of

INFER_BYTES = 2 * 1024 * 1024
"""How much of a file without given columns is looked at for their types, before its first row is stored."""


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
    """How the file is read and cut (`columns` in its own order, `formats` beside them) and what comes out (`dataset`).

    `header` is what the file calls its columns. `evidence` says why, where the layout was found and not resumed.
    """

    reading: Reading
    dialect: Dialect
    columns: tuple[Column, ...]
    formats: tuple[Format, ...]
    dataset: tuple[Column, ...]
    header: tuple[str, ...] | None = None
    evidence: tuple[Evidence, ...] = ()


def opened(work: Work, given: Given) -> tuple[Layout, Text, Place]:
    """The layout, the text, and where its rows start. Raises InputError."""
    how, evidence = reading_of(work.source, given.encoding, given.member)
    text = reading.opened(work.source, how)
    start = start_of_text(text)
    place = _behind_notes(text, Place(start, 1, 1), given.skip_rows)
    asked = Dialect(**{"ragged": given.ragged, **given.dialect})  # type: ignore[arg-type]
    place, asked, fixed = _behind_hint(text, place, asked, frozenset(given.dialect))
    sample = _sample(text, place.offset)
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
    layout = _with_columns(work, text, how, dialect, heading, given.wishes)
    return replace(layout, evidence=(*evidence, *layout.evidence)), text, heading.place


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
    found = re.match(rb'"?sep=([\x01-\x7e])"?(?:\r\n|\n|\r)', text.read(16), re.IGNORECASE)
    if found is None:
        return place, asked, fixed
    if "delimiter" not in fixed:
        asked = replace(asked, delimiter=found[1].decode())
    behind = replace(place, offset=place.offset + found.end(), line=place.line + 1)
    return behind, asked, fixed | {"delimiter"}


def _sample(text: Text, offset: int) -> Sample:
    text.seek(offset)
    data = text.read(SAMPLE_BYTES + 1)
    return Sample(data[:SAMPLE_BYTES], len(data) <= SAMPLE_BYTES)


def _stand_in(data: bytes) -> str:
    return next((c for c in STAND_INS if c.encode() not in data), STAND_INS[0])


def _prefix(source: BinaryIO, how: Reading, size: int) -> bytes:
    text = reading.opened(source, how)
    text.seek(0)
    return text.read(size)


def _with_columns(work: Work, text: Text, how: Reading, dialect: Dialect, heading: Heading, wishes: Wishes) -> Layout:
    texts = _texts(text, heading.place.offset, dialect, len(heading.names), work.chunk_bytes)
    written, cleaned, evidence = recognise_all(texts, list(heading.names), wishes)
    if work.columns is not None:
        columns = _matched(heading.names, heading.header is not None, work.columns)
        dataset = work.columns
    else:
        columns = dataset = tuple(infer(name, cells) for name, cells in zip(heading.names, cleaned, strict=True))
    asked = Format(nulls=wishes.nulls or ())
    formats = tuple(
        asked if column.type is ColumnType.TEXT else fitted(entry, column)
        for entry, column in zip(written, columns, strict=True)
    )
    kept = {column.name for column, entry in zip(columns, formats, strict=True) if entry not in (PLAIN, asked)}
    told = tuple(entry for entry in evidence if entry.column in kept)
    return Layout(how, dialect, columns, formats, dataset, heading.header, told)


def _texts(text: Text, offset: int, dialect: Dialect, width: int, chunk_bytes: int) -> list[pa.Array]:
    """The columns of the first block that has rows, as text; empty ones if there is none."""
    for block in blocks(text, offset, dialect, repeat(min(INFER_BYTES, chunk_bytes))):
        if block.fault:
            continue
        cut = [strings(piece, dialect, width)[2] for piece in pieces(block.data, dialect, PIECE_LINES)]
        columns = [pa.concat_arrays(parts) for parts in zip(*cut, strict=True)]
        if columns and len(columns[0]):
            return columns
    return [pa.array([], pa.string())] * width


def _matched(names: tuple[str, ...], has_header: bool, dataset: tuple[Column, ...]) -> tuple[Column, ...]:
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
