"""YouTube watch histories as Google Takeout exports them, HTML or JSON in any language, into events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from service.domain.processor import Chunk, Processor, Work
from service.domain.row_options import FixedColumns


class WatchHistoryOptions(FixedColumns):
    """None means: as the file says."""

    tz: str | None = Field(None, max_length=60, description="Zone of the times in HTML: Europe/Berlin, or +02:00.")


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Events in the order of the file. Raises InputError for what is no watch history."""
    # Only the child process that reads a file pays for pyarrow and the HTML parser.
    from workers.takeout.reading import read

    options = WatchHistoryOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options.tz):
        yield chunk


processor = Processor(
    name="watch_history",
    title="YouTube watch history of Google Takeout",
    chunks=chunks,
    options=WatchHistoryOptions,
    queue="cpu",
    suffixes=(".html", ".json"),
)
