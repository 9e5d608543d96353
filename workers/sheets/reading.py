"""One sheet of a workbook, from its header down, as chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from python_calamine import CalamineSheet

from service.domain.errors import InputError
from service.domain.processor import Chunk, Column, ColumnType, Fault, Work
from service.domain.row_options import RowOptions
from workers import grid
from workers.columns import column_names
from workers.grid import Grid, Line
from workers.mapping import Names
from workers.sheets.book import Value, header_at, opened, sheet_of, text_of

HEAD_ROWS = 100
"""A header is looked for among so many rows."""


def read(work: Work, options: RowOptions, sheet: str | None, header: int | None, fills_merged: bool) -> Iterator[Chunk]:
    """The rows behind the work's cursor. `header` is the number of its row, from 1; 0 if there is none."""
    found = sheet_of(opened(work.source), sheet)
    yield from grid.read(work, options, _grid(_values(found, fills_merged), header))


def _values(sheet: CalamineSheet, fills_merged: bool) -> list[list[Value]]:
    rows: list[list[Value]] = [[*row] for row in sheet.to_python(skip_empty_area=False)]
    if fills_merged:
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
            for row in rows[top : bottom + 1]:
                row[left : right + 1] = [rows[top][left]] * len(row[left : right + 1])
    return rows


def _grid(rows: list[list[Value]], header: int | None) -> Grid:
    place = header_at(rows[:HEAD_ROWS]) if header is None else header - 1 if header else None
    if place is not None and place >= len(rows):
        raise InputError(
            "unreadable_header",
            f"The sheet has {len(rows):,} rows, so none is number {header}.",
            suggestion="Check it.",
        )
    titles = [text_of(value) or "" for value in rows[place]] if place is not None else []
    start = 0 if place is None else place + 1
    body = [(at, row) for at, row in enumerate(rows[start:], start=start + 1) if any(v not in (None, "") for v in row)]
    width = _width(titles, [row for _, row in body[:HEAD_ROWS]])
    written = (titles + [""] * width)[:width]
    names = column_names([title or f"column {at}" for at, title in enumerate(written, start=1)])

    def lines(skip: int) -> Iterator[Line]:
        for number, row in body[skip:]:
            yield _line(number, row, width)

    types = [_type(name, [row[at] for _, row in body if at < len(row)]) for at, name in enumerate(names)]
    return Grid(Names(names, written if place is not None else None), lines, len(body), types)


def _line(number: int, row: Sequence[Value], width: int) -> Line:
    cells = tuple(text_of(value) for value in row)
    if any(cell is not None for cell in cells[width:]):
        fault = Fault(
            None,
            "wrong_field_count",
            f"The row has values behind the last column that has a name ({width}).",
            "Name the column in the header, or clear the cells.",
        )
        return Line(cells, number, fault)
    return Line((*cells, *[None] * width)[:width], number)


def _width(titles: Sequence[str], rows: Sequence[Sequence[Value]]) -> int:
    """Columns up to the last that has a title; without titles, up to the last that has a value."""
    named = next((len(titles) - at for at, title in enumerate(reversed(titles)) if title), 0)
    filled = [at + 1 for row in rows for at, value in enumerate(row) if value not in (None, "")]
    return named or max(filled, default=0)


def _type(name: str, values: Sequence[Value]) -> Column | None:
    """What the cells' own types come to; None where these are text, or of several kinds."""
    kinds = {type(value) for value in values if value not in (None, "")}
    if kinds == {bool}:
        return Column(name, ColumnType.BOOLEAN)
    if kinds and kinds <= {date, datetime}:
        return Column(name, ColumnType.TIMESTAMP if datetime in kinds else ColumnType.DATE)
    return None
