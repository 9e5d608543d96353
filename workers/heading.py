"""Where the rows of a delimited text start and what its columns are called: titles, header rows, or neither."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError
from workers.arrow_csv import fields
from workers.columns import column_names, infer
from workers.dialect import Dialect
from workers.evidence import Evidence
from workers.numbering import Place
from workers.parsing import strings
from workers.reading import Text
from workers.recognition import recognise
from workers.records import Block, Records, Source, blocks, line_count, records
from workers.trials import SAMPLE_BYTES, bare, cells_of, usual_width

FILE_COLUMNS = 16_384
"""As wide as a file may be, if only some of its columns are kept."""
_YEAR = r"(?:1[89]|20|21)[0-9]{2}"
_DAY = r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?"

TITLES = 200
"""Records above the header at most."""


@dataclass(frozen=True, slots=True)
class Heading:
    """`names` are the columns', `header` is what the file calls them, `place` is where the rows start."""

    names: tuple[str, ...]
    header: tuple[str, ...] | None
    place: Place
    evidence: tuple[Evidence, ...]


def start_of_text(text: Source) -> int:
    """The offset of the first character. Raises InputError for an empty file."""
    text.seek(0)
    head = text.read(SAMPLE_BYTES)
    start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    rest, at = head[start:], len(head)
    while rest and not rest.strip():
        text.seek(at)
        rest = text.read(SAMPLE_BYTES)
        at += len(rest)
    if not rest:
        raise InputError("file_empty", "The file has no rows and no header.", suggestion="Check what was exported.")
    return start


def heading_of(
    text: Text,
    place: Place,
    dialect: Dialect,
    header: bool | int | None,
    may_skip: bool,
    dataset: tuple[Column, ...] | None,
) -> Heading:
    """The heading from `place` on. `header` is how many rows it has; None means: look."""
    block, found, line = _first_block(text, place, dialect)
    skipped = _titles(block.data, found, dialect) if may_skip and header != 0 else 0
    told = [Evidence("skip_rows", skipped, 0.9, "records of another shape above the table")] if skipped else []
    first = Place(block.offset + int(found.starts[skipped]), 1, line + int(found.lines[skipped]))
    data = block.data[int(found.starts[skipped]) :]
    found = records(data, dialect)
    if header is False or header == 0:
        return _unnamed(data, found, dialect, first, told, dataset, 1.0, "given")
    count = int(header) if header else 1
    spans = zip(found.starts[:count], found.ends[:count], strict=True)
    rows = [_fields(data[int(a) : int(b)], dialect) for a, b in spans]
    behind = _behind(block, data, found, len(rows), first)
    below = data[behind.offset - first.offset :]
    joined = _joined(rows)
    column_names(joined, FILE_COLUMNS)  # too many are refused before each is looked at
    wide = _row_width(below, dialect)
    if header is None and not _is_header(joined, below, dialect, dataset):
        return _unnamed(data, found, dialect, first, told, dataset, 0.8, "the first row is like those below it")
    joined = _evened(joined, below, dialect, wide)
    told.append(Evidence("header", len(rows), 1.0 if header else 0.9, "given" if header else "names above values"))
    return Heading(tuple(column_names(joined, FILE_COLUMNS)), tuple(joined), behind, tuple(told))


def _first_block(text: Text, place: Place, dialect: Dialect) -> tuple[Block, Records, int]:
    """The first block with a record in it, and the line it starts on."""
    line = place.line
    for block in blocks(text, place.offset, dialect, repeat(SAMPLE_BYTES)):
        found = records(block.data, dialect)
        if block.fault:
            break
        if len(found):
            return block, found, line
        line += block.lines
    raise InputError("unreadable_header", "The first row never ends.", suggestion="Check the quotes in the first row.")


def _titles(data: bytes, found: Records, dialect: Dialect) -> int:
    """How many records stand above the table."""
    width = usual_width(found)
    if width < 2 or len(found) < 2:
        return 0
    first = int(np.argmax(found.widths == width))
    if first > TITLES:
        return 0
    rows = [[bare(cell, dialect).strip() for cell in row] for row in cells_of(data, found, first + 12)]
    if (
        first
        and int(np.diff(found.lines[first - 1 : first + 1])[0]) == 1
        and _names_those_below(rows[first - 1 :], width)
    ):
        return first - 1  # names for all columns but the first, or with a delimiter too many
    full = next((index for index, row in enumerate(rows) if index >= first and _said(row) > 1), first)
    return full if width > 2 and full > first and _may_name(rows[full]) else first


def _names_those_below(rows: list[list[str]], width: int) -> bool:
    """Whether the first of these rows, which is one off in width, is their header rather than the second one."""
    names, row, *others = rows
    if abs(len(names) - width) != 1 or len(names) < 2 or not _may_name(names):
        return False
    return not (_may_name(row) and others and any(map(_is_typed, others[0])))


def _said(row: list[str]) -> int:
    return sum(map(bool, row))


def _may_name(row: list[str]) -> bool:
    return all(row[:-1]) and not any(_is_typed(cell) for cell in row)


def _behind(block: Block, data: bytes, found: Records, rows: int, first: Place) -> Place:
    end = int(found.ends[rows - 1])
    after = min(end + (2 if data[end : end + 2] == b"\r\n" else 1), len(data))
    return Place(first.offset + after, 1, first.line + line_count(data[:after]))


def _fields(record: bytes, dialect: Dialect) -> list[str]:
    try:
        return fields(record, dialect)
    except UnicodeDecodeError as error:
        raise InputError(
            "unsupported_encoding",
            f"The first row has bytes that its encoding does not know (byte {error.start + 1} of a field).",
            suggestion="Name the file's encoding with the option encoding, or save it as UTF-8.",
        ) from error


def _joined(rows: list[list[str]]) -> list[str]:
    """Several header rows as one: each column's words from top to bottom."""
    if len(rows) == 1:
        return rows[0]
    width = max(map(len, rows))
    padded = [row + [""] * (width - len(row)) for row in rows]
    return [" ".join(dict.fromkeys(word for row in padded if (word := row[i].strip()))) for i in range(width)]


def _row_width(below: bytes, dialect: Dialect) -> int:
    """The width of most rows, 0 if there is none."""
    found = records(below, dialect)
    width = usual_width(found) if len(found) else 0
    return width if width and (found.widths == width).mean() > 0.5 else 0


def _unnamed(
    data: bytes,
    found: Records,
    dialect: Dialect,
    first: Place,
    told: list[Evidence],
    dataset: tuple[Column, ...] | None,
    sure: float,
    why: str,
) -> Heading:
    width = int(found.widths[0]) if len(found) < 3 else usual_width(found)
    is_known = dataset is not None and len(dataset) == width
    if width > 2 and not is_known and _ends_empty(data, dialect, width) and len(found) > 1:
        width -= 1
    names = column_names([f"column {position}" for position in range(1, width + 1)], FILE_COLUMNS)
    return Heading(tuple(names), None, first, (*told, Evidence("header", 0, sure, why)))


def _evened(names: list[str], below: bytes, dialect: Dialect, width: int) -> list[str]:
    """Names for as many columns as the rows have, where they are one off and it is clear which."""
    if width == len(names) + 1 and width > 2 and not _ends_empty(below, dialect, width):
        return ["", *names] if _is_key(below, dialect, width) else [*names, ""]
    if len(names) > 1 and not names[-1].strip() and (width < len(names) or _ends_empty(below, dialect, width)):
        return names[:-1]
    return names


def _ends_empty(below: bytes, dialect: Dialect, width: int) -> bool:
    texts = strings(below, dialect, width)[2]
    return len(texts[-1]) > 0 and texts[-1].null_count == len(texts[-1])


def _is_key(below: bytes, dialect: Dialect, width: int) -> bool:
    first = strings(below, dialect, width)[2][0]
    return len(first) > 0 and first.null_count == 0 and len(first.unique()) == len(first)


def _is_header(first: list[str], below: bytes, dialect: Dialect, dataset: tuple[Column, ...] | None) -> bool:
    if dataset and set(column_names(first, FILE_COLUMNS)) <= {column.name for column in dataset}:
        return True
    return detect_header(first, strings(below, dialect, len(first))[2])


def detect_header(first: list[str], columns: list[pa.Array]) -> bool:
    """Whether the first row names the columns. `columns` holds the text of the sample's rows below it.

    It does not if any of its cells is a number, date, boolean or uuid, but for periods. Empty or repeated names are
    believed only over a column whose values are something else than text.
    """
    if any(_is_typed(cell) for cell in first):
        return _has_periods(first, columns)
    if all(first) and len(set(first)) == len(first):
        return True
    below = [_kind(column) for column in columns]
    return any(cell and kind is not ColumnType.TEXT for cell, kind in zip(first, below, strict=True))


def _has_periods(first: list[str], columns: list[pa.Array]) -> bool:
    """Whether names are followed by years or dates, one after the other, over values that are neither."""
    for shape in (_YEAR, _DAY):
        places = [place for place, cell in enumerate(first) if re.fullmatch(shape, cell.strip())]
        periods = [first[place].strip() for place in places]
        others = [cell.strip() for place, cell in enumerate(first) if place not in places]
        if len(periods) < 2 or not any(others) or any(map(_is_typed, others)):
            continue
        is_even = periods in (sorted(set(periods)), sorted(set(periods), reverse=True))
        below = [pc.sum(pc.match_substring_regex(columns[place], f"^(?:{shape})$")).as_py() or 0 for place in places]
        values = sum(len(columns[place]) for place in places)
        if is_even and values > 0 and sum(below) < values / 2:
            return True
    return False


def _kind(column: pa.Array) -> ColumnType:
    return infer("", recognise(column)[1]).type


def _is_typed(cell: str) -> bool:
    if re.fullmatch(r"[^\W\d]\w*", cell) and cell.lower() not in ("true", "false"):
        return False
    # Numbers that no type takes as they stand, such as 007, +5 or 1.234,50, are no names of columns either.
    if re.fullmatch(r"[-+]?[$€£]?[0-9][0-9.,' ]*[%€]?", cell):
        return True
    if not re.search("[0-9]", cell) and cell.lower() not in ("true", "false"):
        return False
    return _kind(pa.array([cell], pa.string())) is not ColumnType.TEXT
