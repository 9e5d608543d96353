"""Opens a workbook and gives the values of its sheets as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from service.domain.errors import InputError

UNPACKED_BYTES = 1024 * 1024 * 1024
"""A workbook is in memory as a whole; of one that unpacks to more, not one sheet is opened."""

HEAD_BYTES = 4 * 1024 * 1024

_COMPOUND = b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
"""A stream of a compound file that holds a newer workbook behind a password."""

Value = str | float | int | bool | date | datetime | time | timedelta | None


def opened(source: BinaryIO) -> CalamineWorkbook:
    """The workbook. Raises InputError: no workbook, damaged, password-protected, too large."""
    _check_size(source)
    source.seek(0)
    try:
        return CalamineWorkbook.from_filelike(source)
    except PasswordError:
        raise InputError(
            "password_protected",
            "The workbook has a password.",
            suggestion="Save it without a password and send it again.",
        ) from None
    except (CalamineError, OSError, ValueError) as error:
        raise damaged(error) from error


def sheets_of(book: CalamineWorkbook, wanted: str | None, check: Callable[[str], None]) -> list[CalamineSheet]:
    """The sheet of this name or number, all that have rows for `*`, else the first that has some. Raises InputError.

    `check` is asked about each before it is read.
    """
    sheets = [meta.name for meta in book.sheets_metadata if meta.typ is SheetTypeEnum.WorkSheet] or book.sheet_names
    if wanted is not None:
        if wanted in sheets:
            return [_sheet(book, wanted, check)]
        if wanted.isdecimal() and 1 <= int(wanted) <= len(sheets):
            return [_sheet(book, sheets[int(wanted) - 1], check)]
    if wanted not in (None, "*"):
        raise InputError(
            "unknown_sheet",
            f"The workbook has no sheet {wanted!r}; it has {', '.join(map(repr, sheets))[:500]}.",
            suggestion="Give the option sheet one of these names, a number from 1, or * for all.",
        )
    found = []
    for name in sheets:
        sheet = _sheet(book, name, check)
        if sheet.height and sheet.width:
            found.append(sheet)
            if wanted is None:
                break
    if found:
        return found
    raise InputError("file_empty", "The workbook has no rows.", suggestion="Check what was saved.")


def text_of(value: Value) -> str | None:
    """A cell as text: numbers as the sheet shows them, dates and times in ISO 8601, empty cells as None."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return str(value)


def header_at(rows: Sequence[Sequence[Value]]) -> int | None:
    """The place of the row that names the columns, below titles and blank rows; None if none does.

    It is the first as wide as most rows are, if it is all text without repeats, and something below it is not.
    """
    widths = [_width(row) for row in rows]
    filled = [width for width in widths if width]
    if not filled:
        return None
    usual = max(set(filled), key=lambda width: (filled.count(width) * width, width))
    for place, row in enumerate(rows):
        if widths[place] >= usual and _is_header(row[: widths[place]]):
            return place
        if widths[place] >= usual and not all(isinstance(value, str) for value in row[:usual]):
            return None
    return None


def _is_header(cells: Sequence[Value]) -> bool:
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    others = [cell for cell in cells if cell not in (None, "") and not isinstance(cell, str)]
    return not others and len(texts) >= max(1, len(cells) // 2) and len(set(texts)) == len(texts)


def _width(row: Sequence[Value]) -> int:
    return next((len(row) - at for at, value in enumerate(reversed(row)) if value not in (None, "")), 0)


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _sheet(book: CalamineWorkbook, name: str, check: Callable[[str], None]) -> CalamineSheet:
    check(name)
    try:
        return book.get_sheet_by_name(name)
    except (CalamineError, OSError, ValueError) as error:
        raise damaged(error) from error


def _check_size(source: BinaryIO) -> None:
    source.seek(0)
    head = source.read(HEAD_BYTES)
    if head.startswith(_COMPOUND) and _ENCRYPTED in head:
        raise _protected()
    if not head.startswith(b"PK\x03\x04"):
        return  # .xls is no archive
    try:
        with ZipFile(source) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise damaged(error) from error
    if size > UNPACKED_BYTES:
        raise InputError(
            "too_large",
            f"The workbook unpacks to {size // 1024 // 1024:,} MiB; {UNPACKED_BYTES // 1024 // 1024:,} MiB are read.",
            suggestion="Save the sheet as CSV, which has no such limit.",
        )


def _protected() -> InputError:
    return InputError(
        "password_protected",
        "The workbook has a password.",
        suggestion="Save it without a password and send it again.",
    )


def damaged(error: Exception) -> InputError:
    """What to say of a file that cannot be read as a workbook."""
    return InputError(
        "file_damaged",
        f"The file is no workbook, or a damaged one: {error}.",
        suggestion="Open it in the program that made it, save it anew and send it again.",
    )
