"""A job's rejects as a table that people mend and send back: the file's own columns, then what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.chunk import Column, ColumnType, Fault, Reject
from service.domain.csv_text import record

ROW = "_row"
TOLD = (ROW, "_column", "_code", "_message", "_suggestion")
"""The columns behind the file's own. Only `_row` is needed of them to send a row back."""

BESIDE = (
    Column("_original", ColumnType.BIGINT),
    Column("_line", ColumnType.BIGINT),
    Column("_cells", ColumnType.TEXT),
)
"""What travels with each row that came back: the number of the reject it mends, its line, its fields as JSON."""

Cells = Sequence[str | None]


def heading(names: Sequence[str]) -> str:
    """The header of the table as CSV."""
    return record((*names, *TOLD))


def line(reject: Reject, width: int) -> str:
    """A reject as CSV; several faults are joined by `; `."""
    faults = reject.faults or (Fault(reject.column, reject.code, reject.message, reject.suggestion),)
    parts = ([f.column or "" for f in faults], [f.code for f in faults], [f.message for f in faults],
             [f.suggestion for f in faults])  # fmt: skip
    told = ("; ".join(dict.fromkeys(part)) or None for part in parts)
    return record((*shown(reject.cells, reject.raw, width), str(reject.row), *told))


def shown(cells: Cells | None, raw: str, width: int) -> list[str | None]:
    """A reject's fields under the file's `width` columns.

    Too few are filled up with empty ones, too many stand in the last column between commas. A row that could not be cut
    into fields is shown whole in the first column.
    """
    if width == 0:
        return []
    if cells is None:
        return [raw, *[None] * (width - 1)]
    if len(cells) <= width:
        return [*cells, *[None] * (width - len(cells))]
    rest = ",".join(cell or "" for cell in cells[width - 1 :])
    return [*cells[: width - 1], rest]


def is_unchanged(sent: Cells, cells: Cells | None, raw: str) -> bool:
    """Whether a row came back as it was shown. Line ends, and how empty cells are written, do not count."""
    return [_plain(cell) for cell in sent] == [_plain(cell) for cell in shown(cells, raw, len(sent))]


def must_change(code: str, column: str | None, cells: Cells | None, width: int) -> bool:
    """Whether a row cannot be good as it was shown, because that is not what the file says."""
    return column is None or code == "nul_byte" or cells is None or len(cells) != width


def _plain(cell: str | None) -> str:
    return (cell or "").replace("\r\n", "\n").replace("\r", "\n")
