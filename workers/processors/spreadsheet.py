"""A sheet of a workbook of Excel or LibreOffice into typed rows; the reading itself is in `workers.sheets`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from pydantic import Field

from service.domain.chunk import Chunk
from service.domain.filetype import PACKINGS, kind_of
from service.domain.glimpse import Glimpse, Guess
from service.domain.processor import Processor, Work
from service.domain.row_options import RowOptions

SUFFIXES = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
_PARTS = ("[Content_Types].xml", "content.xml", "xl/workbook.xml", "xl/workbook.bin")
"""One of them is in every workbook that is a zip."""
_OPEN_DOCUMENT = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"
"""What the standard wants at byte 30: the name and the content of the first member."""


class SpreadsheetOptions(RowOptions):
    """None means: look at the file."""

    member: str | None = Field(None, description="The file to read in a zip archive.")
    sheet: str | None = Field(None, max_length=255, description="Name of a sheet, its number from 1, or * for all.")
    header: int | None = Field(
        None, ge=0, le=1_048_576, description="Number of the row that names the columns, from 1; 0 if none does."
    )
    merged: bool = Field(False, description="Give every cell of a merged range the value that stands in its corner.")
    hidden: Literal["read", "skip"] = Field("read", description="What becomes of rows that the sheet hides.")
    errors: Literal["empty", "reject"] = Field(
        "empty", description="What a cell with an error such as #DIV/0! is: empty, or a reason to refuse its row."
    )


def recognises(glimpse: Glimpse) -> Guess | None:
    """A zip with the parts of a workbook, or an OLE file that is no document of Word; be it packed once more."""
    names = {member.name for member in glimpse.members}
    if found := names & {"xl/workbook.xml", "xl/workbook.bin"}:
        return Guess(0.99, f"a zip with {found.pop()}")
    if any(name.startswith("xl/worksheets/") for name in names):
        return Guess(0.95, "a zip with xl/worksheets")  # of one in an archive not all names are seen
    if any(m.name == "mimetype" and m.inside and b"opendocument.spreadsheet" in m.inside.head for m in glimpse.members):
        return Guess(0.99, "a zip whose mimetype is an OpenDocument spreadsheet's")
    if names and glimpse.head.startswith(_OPEN_DOCUMENT, 30):
        return Guess(0.99, "a zip whose mimetype is an OpenDocument spreadsheet's")
    if kind_of(glimpse.head) == "ole" and "WordDocument".encode("utf-16-le") not in glimpse.head:
        return Guess(0.8, "an OLE file, as workbooks of Excel 97 and those with a password are")
    return None


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Rows of one sheet, or of all. Raises InputError for what is no workbook."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.sheets.reading import Wanted, read
    from workers.unwrapping import unwrapped

    options = SpreadsheetOptions.model_validate(work.options.model_dump())
    skips, refuses = options.hidden == "skip", options.errors == "reject"
    wanted = Wanted(options.sheet, options.header, options.merged, skips, refuses)
    found = unwrapped(work, options.member, SUFFIXES, _PARTS)
    for chunk in found.told(read(found.work, options, wanted)):
        yield chunk


processor = Processor(
    name="spreadsheet",
    title="Spreadsheets of Excel and LibreOffice",
    chunks=chunks,
    recognises=recognises,
    options=SpreadsheetOptions,
    queue="cpu",
    suffixes=SUFFIXES,
    accepts=("ole", *PACKINGS),
)
