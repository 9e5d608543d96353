"""YouTube watch histories as Google Takeout exports them, HTML or JSON in any language, into events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from pydantic import Field

from service.domain.chunk import Chunk
from service.domain.glimpse import Glimpse, Guess
from service.domain.processor import Following, Processor, Work
from service.domain.row_options import FixedColumns

SURE = 0.9
_VIDEO = re.compile(rb"youtube\.com(?:/|\\/)(?:watch|shorts)")
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*\{")


class WatchHistoryOptions(FixedColumns):
    """None means: as the file says."""

    member: str | None = Field(None, description="The file to read in a zip archive; found by its content.")
    enrich: bool | None = Field(
        None,
        description="Look its videos up at YouTube afterwards, by a job of enrich_videos; false: not even add it up.",
    )
    tz: str | None = Field(None, max_length=60, description="Zone of the times in HTML: Europe/Berlin, or +02:00.")


def followed_by(options: WatchHistoryOptions) -> Following | None:
    """The look at its videos, unless it is not wanted."""
    return None if options.enrich is False else Following("enrich_videos", is_asked_for=options.enrich is True)


def recognises(glimpse: Glimpse) -> Guess | None:
    """Takeout's page or array of YouTube's activity, by itself or in a zip."""
    for member in glimpse.members:
        if member.inside is not None and (found := recognises(member.inside)) is not None and found.confidence > SURE:
            return Guess(0.97, f"{member.name!r} in the archive: {found.why}")
    head = glimpse.head
    if b'<div class="outer-cell' in head and glimpse.text is not None:
        is_youtube = _VIDEO.search(head) is not None
        return Guess(0.98 if is_youtube else 0.3, "a page of Takeout's entries" + " with videos" * is_youtube)
    if _ARRAY.match(head) and b'"time"' in head and _VIDEO.search(head) and b'"title' in head:
        return Guess(0.98, "an array of Takeout's entries with videos")
    return None


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Events in the order of the file. Raises InputError for what is no watch history."""
    # Only the child process that reads a file pays for pyarrow and the HTML parser.
    from workers.takeout.reading import read

    options = WatchHistoryOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options.tz, options.member):
        yield chunk


processor = Processor(
    name="watch_history",
    title="YouTube watch history of Google Takeout",
    chunks=chunks,
    recognises=recognises,
    followed_by=followed_by,
    options=WatchHistoryOptions,
    queue="cpu",
    suffixes=(".html", ".json", ".zip"),
)
