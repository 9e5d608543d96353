"""A sheet of a workbook of Excel or LibreOffice into typed rows; the reading itself is in `workers.sheets`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from service.domain.processor import Chunk, Processor, Work
from service.domain.row_options import RowOptions


class SpreadsheetOptions(RowOptions):
    """None means: look at the file."""

    sheet: str | None = Field(None, max_length=255, description="Name of a sheet, or its number from 1.")
    header: int | None = Field(
        None, ge=0, le=1_048_576, description="Number of the row that names the columns, from 1; 0 if none does."
    )
    merged: bool = Field(False, description="Give every cell of a merged range the value that stands in its corner.")


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Rows of one sheet. Raises InputError for what is no workbook."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.sheets.reading import read

    options = SpreadsheetOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options, options.sheet, options.header, options.merged):
        yield chunk


processor = Processor(
    name="spreadsheet",
    title="Spreadsheets of Excel and LibreOffice",
    chunks=chunks,
    options=SpreadsheetOptions,
    queue="cpu",
    suffixes=(".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"),
)
