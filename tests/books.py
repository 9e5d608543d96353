"""Workbooks for tests, written by hand: just what a sheet needs, with what the libraries do not write."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from html import escape

Cell = str | float | None
ERROR = "#"
"""What the text of an error begins with."""


def xlsx(sheets: Mapping[str, Sequence[Sequence[Cell]]], hidden: Mapping[str, Sequence[int]] | None = None) -> bytes:
    """A workbook; rows in `hidden` count from 1. Text that begins with # is an error."""
    packed, names = io.BytesIO(), list(sheets)
    listed = "".join(f'<sheet name="{escape(n)}" sheetId="{i}" r:id="rId{i}"/>' for i, n in enumerate(names, 1))
    related = "".join(
        f'<Relationship Id="rId{i}" Type="{_TYPES}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i, _ in enumerate(names, 1)
    )
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT_TYPES)
        archive.writestr("_rels/.rels", _ROOT)
        archive.writestr(
            "xl/workbook.xml", f'<workbook {_MAIN} xmlns:r="{_TYPES}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships {_PACKAGE}>{related}</Relationships>")
        for number, name in enumerate(names, 1):
            rows = _rows(sheets[name], (hidden or {}).get(name, ()))
            archive.writestr(
                f"xl/worksheets/sheet{number}.xml", f"<worksheet {_MAIN}><sheetData>{rows}</sheetData></worksheet>"
            )
    return packed.getvalue()


def _rows(rows: Sequence[Sequence[Cell]], hidden: Sequence[int]) -> str:
    return "".join(
        f'<row r="{at}" hidden="{int(at in hidden)}">'
        + "".join(_cell(f"{chr(65 + column)}{at}", value) for column, value in enumerate(row))
        + "</row>"
        for at, row in enumerate(rows, 1)
    )


def _cell(place: str, value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(ERROR):
        return f'<c r="{place}" t="e"><f>1/0</f><v>{value}</v></c>'
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


_TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_PACKAGE = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_ROOT = (
    f"<Relationships {_PACKAGE}>"
    f'<Relationship Id="rId1" Type="{_TYPES}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
)
_OFFICE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_CONTENT_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Default Extension="xml" ContentType="{_OFFICE}.worksheet+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_OFFICE}.sheet.main+xml"/></Types>'
)


def ods(rows: str, name: str = "s") -> bytes:
    """A workbook of LibreOffice whose sheet has these rows, as XML."""
    packed = io.BytesIO()
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        f'<table:table table:name="{name}">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", '<manifest:manifest xmlns:manifest="urn:x"/>')
        archive.writestr("content.xml", content)
    return packed.getvalue()
