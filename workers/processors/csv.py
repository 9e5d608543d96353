"""CSV and its relatives (tab, semicolon, pipe) into typed rows; the reading itself is in `workers.delimited`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from service.domain.processor import Chunk, Processor, Work
from service.domain.row_options import RowOptions


class CsvOptions(RowOptions):
    """None means: look at the file."""

    delimiter: Literal[",", ";", "\t", "|"] | None = None
    header: bool | None = None


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Blocks of whole records as typed batches. Raises InputError for a file that is no delimited UTF-8 text."""
    # Only the child process that reads a file pays for pyarrow; the API imports this module for its options.
    from workers.delimited import read

    options = CsvOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options.delimiter, options.header):
        yield chunk


processor = Processor(
    name="csv",
    title="CSV, TSV and other delimited text",
    chunks=chunks,
    options=CsvOptions,
    queue="cpu",
    suffixes=(".csv", ".tsv", ".txt", ".tab"),
    accepts=("text", "binary"),
)
