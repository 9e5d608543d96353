"""What a sheet says of its rows and cells beside their values: hidden rows, and errors such as #DIV/0!.

The library that reads sheets gives neither. They are picked out of the sheet's XML as a stream, without building it;
only workbooks of XML have such: .xlsx, .xlsm and .ods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from posixpath import join, normpath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

from service.domain.errors import InputError
from workers.sheets.book import damaged

PIECE_BYTES = 1024 * 1024
HEAD_BYTES = 8 * 1024 * 1024
"""Of the workbook's own list of sheets."""
TAG_BYTES = 4096
"""No tag that is looked for is longer; so much of a piece is looked at again with the next."""
MOST_ROWS = 1_048_576
MOST_CELLS = 30_000_000
SMALL_BYTES = 8 * 1024 * 1024

_NAME, _ENDS = rb"<(?:[A-Za-z_][\w.-]*:)?", rb"(?=[\s/>])"
_SHEET = re.compile(_NAME + rb"sheet" + _ENDS + rb"([^<>]*)>")
_RELATION = re.compile(_NAME + rb"Relationship" + _ENDS + rb"([^<>]*)>")
_ROW_OR_ERROR = re.compile(
    _NAME + rb"(?:row" + _ENDS + rb"(?P<row>[^<>]*)|c" + _ENDS + rb"(?P<cell>[^<>]*\st=[\"']e[\"'][^<>]*))>"
)
_VALUE = re.compile(
    rb"\s*(?:" + _NAME + rb"f" + _ENDS + rb"[^<>]*>(?:[^<]*</(?:[\w.-]+:)?f>)?)?\s*" + _NAME + rb"v[^<>]*>([^<]*)<"
)
_CELL = re.compile(_NAME + rb"c" + _ENDS + rb"[^<>]*?\sr=[\"']([A-Za-z]{1,20})([0-9]{1,30})[\"']")
_ODS_TAG = re.compile(rb"<table:table(?:" + _ENDS + rb"(?P<table>[^<>]*)|-row" + _ENDS + rb"(?P<row>[^<>]*))>")
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


@dataclass(slots=True)
class Marks:
    """Rows and columns count from 0. `errors` are by row, then by column."""

    hidden: set[int] = field(default_factory=set)
    errors: dict[int, dict[int, str]] = field(default_factory=dict)


def marks_of(source: BinaryIO, sheet: str) -> Marks | None:
    """The marks of a sheet; None if this kind of workbook has none that can be read. Raises InputError."""
    source.seek(0)
    if source.read(4) != b"PK\x03\x04":
        return None
    try:
        with ZipFile(source) as archive:
            names = set(archive.namelist())
            if "content.xml" in names:
                return _of_ods(_pieces(archive, "content.xml"), sheet)
            if (member := _member(archive, sheet)) is None or member not in names:
                return None
            return _of_xml(_pieces(archive, member))
    except (BadZipFile, ZlibError, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise damaged(error) from error


def check_extent(source: BinaryIO, sheet: str) -> None:
    """Raise InputError if a small sheet has a cell so far out that the table up to there would take all memory.

    Only a sheet with little in it is looked at: one with much takes what it takes, and the child's limit ends it.
    """
    source.seek(0)
    if source.read(4) != b"PK\x03\x04":
        return
    rows = columns = 0
    try:
        with ZipFile(source) as archive:
            member = _member(archive, sheet)
            if member is None or member not in archive.namelist() or archive.getinfo(member).file_size > SMALL_BYTES:
                return
            for found in _matches(_CELL, _pieces(archive, member)):
                columns, rows = max(columns, _column(found[1].decode().upper()) + 1), max(rows, int(found[2]))
    except (BadZipFile, ZlibError, OSError, EOFError, ValueError, RuntimeError) as error:
        raise damaged(error) from error
    if rows * columns > MOST_CELLS:
        raise InputError(
            "too_large",
            f"Sheet {sheet!r} has cells far out: {rows:,} rows of {columns:,} columns are too many.",
            suggestion="Clear what stands far from the table, and save the workbook anew.",
        )


def _of_xml(pieces: Iterator[bytes]) -> Marks:
    marks, row = Marks(), -1
    for found in _matches(_ROW_OR_ERROR, pieces):
        if found["row"] is not None:
            said = _attributes(found["row"])
            number = said.get("r", "")
            row = int(number) - 1 if number.isdecimal() and len(number) < 9 else row + 1
            if said.get("hidden") in ("1", "true"):
                marks.hidden.add(row)
        elif place := _PLACE.fullmatch(_attributes(found["cell"]).get("r", "")):
            value = _VALUE.match(found.string, found.end())
            text = unescape(value[1].decode("utf-8", "replace")) if value else "#ERROR"
            marks.errors.setdefault(int(place[2]) - 1, {})[_column(place[1])] = text
    return marks


def _of_ods(pieces: Iterator[bytes], sheet: str) -> Marks:
    marks, row, is_wanted = Marks(), 0, False
    for found in _matches(_ODS_TAG, pieces):
        if found["table"] is not None:
            is_wanted, row = unescape(_attributes(found["table"]).get("table:name", "")) == sheet, 0
        elif is_wanted:
            said = _attributes(found["row"])
            repeated = said.get("table:number-rows-repeated", "1")
            count = min(int(repeated), MOST_ROWS) if repeated.isdecimal() else 1
            if said.get("table:visibility") in ("collapse", "filter") and row < MOST_ROWS:
                marks.hidden.update(range(row, min(row + count, MOST_ROWS)))
            row += count
    return marks


def _member(archive: ZipFile, sheet: str) -> str | None:
    """Where the XML of a sheet is; None for a workbook that is not XML inside."""
    if "xl/workbook.xml" not in archive.namelist():
        return None
    listed = b"".join(_pieces(archive, "xl/workbook.xml", HEAD_BYTES))
    related = b"".join(_pieces(archive, "xl/_rels/workbook.xml.rels", HEAD_BYTES))
    targets = {said.get("Id"): said.get("Target", "") for said in map(_attributes, _RELATION.findall(related))}
    for said in map(_attributes, _SHEET.findall(listed)):
        if unescape(said.get("name", "")) == sheet:
            key = next((value for name, value in said.items() if name == "id" or name.endswith(":id")), None)
            target = targets.get(key)
            if target is None:
                return None
            return target.lstrip("/") if target.startswith("/") else normpath(join("xl", target))
    return None


def _pieces(archive: ZipFile, member: str, limit: int | None = None) -> Iterator[bytes]:
    if member not in archive.namelist():
        return
    total = 0
    with archive.open(member) as stream:
        while piece := stream.read(PIECE_BYTES):
            total += len(piece)
            if limit is not None and total > limit:
                raise InputError(
                    "too_large", "The workbook's list of sheets is too large.", suggestion="Save the sheet as CSV."
                )
            yield piece


def _matches(pattern: re.Pattern[bytes], pieces: Iterator[bytes]) -> Iterator[re.Match[bytes]]:
    """Every match in a stream. What might go on in the next piece is looked at together with that."""
    rest = b""
    for piece in pieces:
        rest += piece
        end = 0
        keep = max(0, len(rest) - TAG_BYTES)
        for found in pattern.finditer(rest):
            if found.start() >= keep:
                break
            yield found
            end = found.end()
        rest = rest[max(end, keep) :]
    yield from pattern.finditer(rest)


def _attributes(tag: bytes) -> dict[str, str]:
    text = tag.decode("utf-8", "replace")
    return {name: double or single for name, double, single in _ATTRIBUTE.findall(text)}


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
