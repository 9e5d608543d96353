"""JSON objects, one a line (NDJSON, JSON Lines), into typed rows.

The first chunk's keys are the columns. The cursor stands at the start of a line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.domain.processor import Chunk, Processor, Work
from service.domain.row_options import RowOptions


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Lines as typed batches. Raises InputError for an empty file."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.objects import read

    for chunk in read(work):
        yield chunk


processor = Processor(
    name="ndjson",
    title="JSON objects, one a line",
    chunks=chunks,
    options=RowOptions,
    queue="cpu",
    suffixes=(".ndjson", ".jsonl"),
    accepts=("text", "binary"),
)
