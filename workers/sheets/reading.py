"""One sheet of a workbook, or all of them one below the other, from its header down, as chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from python_calamine import CalamineSheet

from service.domain.chunk import Chunk, Column, ColumnType, Fault
from service.domain.errors import InputError
from service.domain.processor import Work
from service.domain.row_options import RowOptions
from workers import grid
from workers.columns import column_names
from workers.evidence import Evidence
from workers.grid import Grid, Line
from workers.mapping import Names
from workers.sheets.book import Value, header_at, opened, sheets_of, text_of
from workers.sheets.marks import Marks, check_extent, marks_of

HEAD_ROWS = 100
"""A header is looked for among so many rows."""
NAME_OF_SHEET = "sheet"
"""The column that says which sheet a row is from, where all are read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a workbook: `sheet` by name or number, `*` for all; `header` by the number of its row."""

    sheet: str | None = None
    header: int | None = None
    fills_merged: bool = False
    skips_hidden: bool = False
    refuses_errors: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet from its header down: titles, one a column, and each row with its number in the sheet."""

    sheet: str
    titles: tuple[str, ...]
    has_header: bool
    rows: list[tuple[int, Sequence[Value]]]
    marks: Marks


def read(work: Work, options: RowOptions, wanted: Wanted) -> Iterator[Chunk]:
    """The rows behind the work's cursor. Raises InputError for what is no workbook, or has no such sheet."""
    book = opened(work.source)
    sheets = sheets_of(book, wanted.sheet, lambda name: check_extent(work.source, name))
    tables = [_table(sheet, wanted, _marks(work, sheet.name, wanted)) for sheet in sheets]
    if wanted.sheet == "*":
        tables = [table for table in tables if table.rows]
    found = _grid(tables, wanted)
    known = [name for name in book.sheet_names if name != tables[0].sheet]
    why = "all sheets were asked for" if wanted.sheet == "*" else "the first with rows, or the one asked for"
    told = Evidence("sheet", "*" if wanted.sheet == "*" else tables[0].sheet, 1.0, why, tuple(known[:20]))
    yield from grid.read(work, options, replace(found, evidence=(told, *found.evidence)))


def _marks(work: Work, sheet: str, wanted: Wanted) -> Marks:
    if not (wanted.skips_hidden or wanted.refuses_errors):
        return Marks()
    if (found := marks_of(work.source, sheet)) is None:
        raise InputError(
            "invalid_options",
            "Hidden rows and errors can be told only in .xlsx, .xlsm and .ods files.",
            suggestion="Leave hidden and errors out, or save the workbook as .xlsx.",
        )
    return found


def _table(sheet: CalamineSheet, wanted: Wanted, marks: Marks) -> Table:
    rows: list[list[Value]] = [[*row] for row in sheet.to_python(skip_empty_area=False)]
    if wanted.fills_merged:
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
            for row in rows[top : bottom + 1]:
                row[left : right + 1] = [rows[top][left]] * len(row[left : right + 1])
    place = _header_place(rows, wanted.header, marks)
    titles = [text_of(value) or "" for value in rows[place]] if place is not None else []
    start = 0 if place is None else place + 1
    body = [
        (at, row)
        for at, row in enumerate(rows[start:], start=start + 1)
        if at - 1 not in marks.hidden and (at - 1 in marks.errors or any(v not in (None, "") for v in row))
    ]
    width = _width(titles, [row for _, row in body[:HEAD_ROWS]])
    shown = tuple((titles + [""] * width)[:width])
    return Table(sheet.name, shown, place is not None, [*body], marks if wanted.refuses_errors else Marks())


def _header_place(rows: Sequence[Sequence[Value]], header: int | None, marks: Marks) -> int | None:
    if header is None:
        seen = [[] if at in marks.hidden else row for at, row in enumerate(rows[:HEAD_ROWS])]
        return header_at(seen)
    if header > len(rows):
        raise InputError(
            "unreadable_header",
            f"The sheet has {len(rows):,} rows, so none is number {header}.",
            suggestion="Check it.",
        )
    return header - 1 if header else None


def _grid(tables: Sequence[Table], wanted: Wanted) -> Grid:
    """The tables below each other: columns of one title are one column, in the order in which they come up."""
    is_all = wanted.sheet == "*"
    names, titles, places = _union(tables, is_all)

    def lines(skip: int) -> Iterator[Line]:
        for table, own in zip(tables, places, strict=True):
            if skip < len(table.rows):
                for number, row in table.rows[skip:]:
                    yield _line(number, row, table, own, len(names), is_all)
            skip = max(0, skip - len(table.rows))

    values: list[set[type]] = [set() for _ in names]
    for table, own in zip(tables, places, strict=True):
        for at, place in enumerate(own):
            values[place] |= {type(row[at]) for _, row in table.rows if at < len(row) and row[at] not in (None, "")}
    types = [_type(name, kinds) for name, kinds in zip(names, values, strict=True)]
    has_header = any(table.has_header for table in tables)
    total = sum(len(table.rows) for table in tables)
    why = "the first row as wide as most, of different words" if wanted.header is None else "it was asked for"
    header = Evidence("header", has_header, 1.0 if wanted.header is not None else 0.9, why)
    written = titles if has_header or is_all else None
    return Grid(Names(names, written), lines, total, types, (header,))


def _union(tables: Sequence[Table], is_all: bool) -> tuple[tuple[str, ...], tuple[str, ...], list[list[int]]]:
    """Names and titles of all columns, and for each table where its columns stand among them."""
    titles: list[str] = [NAME_OF_SHEET] if is_all else []
    known: dict[str, int] = {}
    places = []
    for table in tables:
        own, seen = [], dict[str, int]()
        for at, title in enumerate(table.titles, start=1):
            key = title.strip().casefold() or f"column {at}"
            seen[key] = seen.get(key, 0) + 1
            key = f"{key}\0{seen[key]}"  # a second column of one title is another column
            if key not in known:
                known[key] = len(titles)
                titles.append(title or f"column {at}")
            own.append(known[key])
        places.append(own)
    written = tuple(titles) if is_all else tuple(title for table in tables for title in table.titles)
    return tuple(column_names(titles)), written, places


def _line(number: int, row: Sequence[Value], table: Table, places: Sequence[int], width: int, is_all: bool) -> Line:
    texts = [text_of(value) for value in row]
    errors = {at: text for at, text in table.marks.errors.get(number - 1, {}).items() if at < len(places)}
    if any(text is not None for text in texts[len(places) :]):
        fault = Fault(
            None,
            "wrong_field_count",
            f"The row has values behind the last column that has a name ({len(places)}).",
            "Name the column in the header, or clear the cells.",
        )
        return Line(tuple(texts), number, fault)
    cells: list[str | None] = [None] * width
    for at, place in enumerate(places):
        cells[place] = errors.get(at, texts[at] if at < len(texts) else None)
    if is_all:
        cells[0] = table.sheet
    if errors:
        at, text = min(errors.items())
        title = table.titles[at] or f"column {at + 1}"
        fault = Fault(None, "error_cell", f"The cell below {title!r} has the error {text}.", "Mend its formula.")
        return Line(tuple(cells), number, fault)
    return Line(tuple(cells), number)


def _width(titles: Sequence[str], rows: Sequence[Sequence[Value]]) -> int:
    """Columns up to the last that has a title; without titles, up to the last that has a value."""
    named = next((len(titles) - at for at, title in enumerate(reversed(titles)) if title), 0)
    filled = [at + 1 for row in rows for at, value in enumerate(row) if value not in (None, "")]
    return named or max(filled, default=0)


def _type(name: str, kinds: set[type]) -> Column | None:
    """What the cells' own types come to; None where these are text, or of several kinds."""
    if kinds == {bool}:
        return Column(name, ColumnType.BOOLEAN)
    if kinds and kinds <= {date, datetime}:
        return Column(name, ColumnType.TIMESTAMP if datetime in kinds else ColumnType.DATE)
    return None
