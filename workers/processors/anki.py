"""Anki's packages (.apkg, .colpkg) of every generation: notes, or one of the other tables a collection has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from pydantic import Field

from service.domain.processor import Chunk, Processor, Work
from service.domain.row_options import FixedColumns


class AnkiOptions(FixedColumns):
    """What is wanted of the package; each part is a job of its own."""

    part: Literal["notes", "cards", "reviews", "note_types", "decks", "media"] = Field(
        "notes", description="Which table of the collection becomes rows."
    )


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Rows in order of Anki's ids. Raises InputError for what is no package, or too new."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.anki.reading import read

    options = AnkiOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options.part):
        yield chunk


processor = Processor(
    name="anki",
    title="Anki decks and collections",
    chunks=chunks,
    options=AnkiOptions,
    queue="cpu",
    suffixes=(".apkg", ".colpkg"),
    accepts=("zip",),
)
