"""A workbook of twelve columns, beside openpyxl and pandas."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

COLUMNS = 12
OURS = ("spreadsheet", {})


def make(folder: Path, rows: int) -> Path:
    """Numbers and texts of its own in each cell, as inline strings."""
    path = folder / f"book-{rows}.xlsx"
    if not path.exists():
        from tests.books import xlsx

        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            book = folder / "empty.xlsx"
            book.write_bytes(xlsx({"s": []}))
            with zipfile.ZipFile(book) as plain:
                for name in plain.namelist():
                    if "sheet1" not in name:
                        archive.writestr(name, plain.read(name))
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
                for piece in _sheet(rows):
                    sheet.write(piece.encode())
    return path


def _sheet(rows: int) -> Iterator[str]:
    dice = random.Random(1)
    yield '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    yield '<row r="1">' + "".join(_text(f"{chr(65 + at)}1", f"column {at}") for at in range(COLUMNS)) + "</row>"
    for row in range(2, rows + 2):
        cells = [_text(f"A{row}", f"name {row}")]
        for at in range(1, COLUMNS):
            place = f"{chr(65 + at)}{row}"
            number = dice.randrange(10**6)
            cells.append(_text(place, f"text {number}") if at % 3 == 0 else f'<c r="{place}"><v>{number}</v></c>')
        yield f'<row r="{row}">' + "".join(cells) + "</row>"
    yield "</sheetData></worksheet>"


def _text(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def openpyxl_(path: Path) -> int:
    """Row by row, as a program would read it."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    return sum(1 for _ in book.worksheets[0].iter_rows(min_row=2, values_only=True))


def pandas_openpyxl(path: Path) -> int:
    """A whole frame, by pandas' own default."""
    import pandas

    return len(pandas.read_excel(path, engine="openpyxl"))


def pandas_calamine(path: Path) -> int:
    """A whole frame, by the library that reads sheets here too."""
    import pandas

    return len(pandas.read_excel(path, engine="calamine"))


PEERS = {"openpyxl": openpyxl_, "pandas+openpyxl": pandas_openpyxl, "pandas+calamine": pandas_calamine}
