"""Small workbooks that take much: the child's limits end them with a name, and the service goes on."""

from __future__ import annotations

import io
import zipfile

from tests.books import xlsx
from tests.conftest import StartService
from tests.running import imported

_HEAD = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'


def of(*xml: bytes) -> bytes:
    """A workbook whose sheet is this."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(xlsx({"s": []}))) as plain,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in plain.namelist():
            content = b"".join([_HEAD, *xml, b"</sheetData></worksheet>"]) if "sheet1" in name else plain.read(name)
            archive.writestr(name, content)
    return out.getvalue()


async def test_workbooks_that_are_bombs_are_ended_by_name(start_service: StartService) -> None:
    service = await start_service(child_cpu_s=4, child_memory_bytes=1_500_000_000)
    far = of(b'<row r="1"><c r="A1"><v>1</v></c></row>', b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')
    row = b"<row>" + b"<c><v>1</v></c>" * 16_000 + b"</row>"
    many = of(row * 600)
    assert len(far) < 2_000
    assert len(many) < 500_000
    for name, data, codes in (
        ("far", far, ("too_large",)),
        ("many", many, ("too_much_cpu", "too_much_memory")),
    ):
        job = await imported(service.client, data, name, processor="spreadsheet", name="bomb.xlsx")
        assert job["state"] == "failed"
        assert job["problem"]["code"] in codes
        assert job["attempt"] == 1
    job = await imported(service.client, xlsx({"s": [["n"], [1.0]]}), "fine", processor="spreadsheet", name="x.xlsx")
    assert job["counts"]["inserted"] == 1
