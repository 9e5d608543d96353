"""JSON objects, one a line (NDJSON, JSON Lines), into typed rows.

The first chunk's keys are the columns. The cursor stands at the start of a line.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

from service.domain.chunk import Chunk
from service.domain.filetype import PACKINGS
from service.domain.glimpse import Glimpse, Guess
from service.domain.json_options import JsonOptions
from service.domain.processor import Cut, Processor, Work

NEEDED_SHARE = 0.9


def recognises(glimpse: Glimpse) -> Guess | None:
    """Lines that are each a JSON object."""
    lines = glimpse.lines
    good = sum(_is_object(line) for line in lines)
    if not good or good < NEEDED_SHARE * len(lines):
        return None
    return Guess(0.97 if len(lines) > 1 else 0.6, f"{good} of the first {len(lines)} lines are JSON objects")


def _is_object(line: str) -> bool:
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Lines as typed batches. Raises InputError for an empty file."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.lines import read

    options = JsonOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options):
        yield chunk


def cuts(work: Work, every: int) -> Iterator[Cut]:
    """Places where the file can be cut, about `every` bytes apart."""
    from workers.lines import cuts

    return cuts(work, every)


processor = Processor(
    name="ndjson",
    title="JSON objects, one a line",
    chunks=chunks,
    cuts=cuts,
    recognises=recognises,
    options=JsonOptions,
    queue="cpu",
    suffixes=(".ndjson", ".jsonl", ".json"),
    accepts=("text", "binary", *PACKINGS),
)
