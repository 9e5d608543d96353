"""Anki's packages (.apkg, .colpkg) of every generation: notes, or one of the other tables a collection has.

Its export of notes as text is read as well.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

from pydantic import Field

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.filetype import PACKINGS
from service.domain.glimpse import Glimpse, Guess
from service.domain.processor import Processor, Work
from service.domain.row_options import FixedColumns, Meeting

_HEADING = re.compile(
    r"#(?:separator|html|columns|(?:tags|deck|notetype|guid)(?: column)?|if matches|match scope):", re.I
)


SUFFIXES = (".apkg", ".colpkg", ".txt")
_COLLECTIONS = ("collection.anki2", "collection.anki21", "collection.anki21b")


class AnkiOptions(FixedColumns):
    """What is wanted of the package; each part is a job of its own."""

    member: str | None = Field(None, description="The file to read in a zip archive.")
    part: Literal["notes", "cards", "reviews", "note_types", "decks", "media"] = Field(
        "notes", description="Which table of the collection becomes rows."
    )
    newer_by: str | None = Field("modified_at", description="The column that says which of two notes is newer.")
    conflict_on: list[str] = Field(
        ["note_type_id"],
        max_length=16,
        description="Columns that are the same in notes of one key; one that differs is left out, and noted.",
    )
    media: bool = Field(True, description="Keep the files that its rows show as files of the dataset.")

    @property
    def meeting(self) -> Meeting | None:
        """What becomes of a row that meets one with its key; only notes can be in conflict by default."""
        found = super().meeting
        is_default = self.conflict_on == type(self).model_fields["conflict_on"].default
        return replace(found, conflict_on=()) if found and is_default and self.part != "notes" else found


def recognises(glimpse: Glimpse) -> Guess | None:
    """A zip with a collection in it, or a text with the lines that Anki writes in front."""
    names = [member.name for member in glimpse.members if member.name in _COLLECTIONS]
    if names:
        return Guess(0.99, f"a zip with {names[-1]}")
    said = [line for line in glimpse.lines[:10] if _HEADING.match(line)]
    return Guess(0.98, f"a line {said[0][:40]!r}, as Anki's text export has it") if said else None


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Rows in order of Anki's ids. Raises InputError for what is no package, or too new."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.anki import text
    from workers.anki.reading import read
    from workers.unwrapping import unwrapped

    options = AnkiOptions.model_validate(work.options.model_dump())
    found = unwrapped(work, options.member, SUFFIXES, _COLLECTIONS)
    work = found.work
    work.source.seek(0)
    if not work.source.read(4).startswith(b"PK"):
        if options.part != "notes":
            raise InputError(
                "unsupported_format",
                f"A text export of Anki has no {options.part}, only notes.",
                suggestion="Send the package (.apkg), or leave the option part out.",
            )
        for chunk in found.told(text.read(work)):
            yield chunk
        return
    for chunk in found.told(read(work, options.part, keeps=options.media)):
        yield chunk


processor = Processor(
    name="anki",
    title="Anki decks and collections",
    chunks=chunks,
    recognises=recognises,
    options=AnkiOptions,
    queue="cpu",
    suffixes=SUFFIXES,
    accepts=("text", *PACKINGS),
)
