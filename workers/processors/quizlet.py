"""Sets of flashcards exported from Quizlet, or written in its way, into terms and definitions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.glimpse import Glimpse, Guess
from service.domain.processor import Processor, Work
from service.domain.row_options import RowOptions

MARKS = (("\t", 0.8), (" - ", 0.75), (" – ", 0.75), ("::", 0.75), ("-----", 0.9), ("/////", 0.9), ("$$", 0.8))


class QuizletOptions(RowOptions):
    r"""None means: look at the file. \t and \n may be typed for a tab and a new line."""

    member: str | None = Field(None, description="The file to read in a zip archive.")
    term_separator: str | None = Field(None, min_length=1, max_length=40, description="Between term and definition.")
    row_separator: str | None = Field(None, min_length=1, max_length=40, description="Between one card and the next.")


def recognises(glimpse: Glimpse) -> Guess | None:
    """Rows of two sides each; a tab between them is how Quizlet has it, other marks are chosen by people."""
    lines = glimpse.lines
    if len(lines) < 2 or lines[0].lstrip()[:1] in ("{", "[", "<", "#") or glimpse.suffix in (".csv", ".tsv"):
        return None
    for mark, sure in MARKS:
        share = sum(len(line.split(mark)) == 2 and all(side.strip() for side in line.split(mark)) for line in lines)
        if share >= 0.95 * len(lines):
            shown = "a tab" if mark == "\t" else repr(mark)
            options = {} if mark == "\t" else {"term_separator": mark, "row_separator": "\\n"}
            return Guess(sure, f"{share} of the first {len(lines)} lines are two sides with {shown} between", options)
    return None


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Cards in the order of the file. Raises InputError where it cannot be told how they are separated."""
    # Only the child process that reads a file pays for pyarrow.
    from workers import flashcards, grid
    from workers.unpacking import TABLES
    from workers.unwrapping import unwrapped

    options = QuizletOptions.model_validate(work.options.model_dump())
    found = unwrapped(work, options.member, TABLES)
    work = found.work
    if work.source.seek(0, 2) > flashcards.SIZE_LIMIT:
        raise InputError("too_large", "The file is too large for a set of flashcards.", suggestion="Import it as csv.")
    work.source.seek(0)
    try:
        data = work.source.read(flashcards.SIZE_LIMIT)
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "unsupported_encoding",
            f"The file is not {error.encoding.upper()} (at byte {error.start + 1}).",
            suggestion="Save it as UTF-8 and send it again.",
        ) from error
    cards, _ = flashcards.grid_of(text, options.term_separator, options.row_separator)
    for chunk in found.told(grid.read(work, options, cards)):
        yield chunk


processor = Processor(
    name="quizlet",
    title="Flashcards of Quizlet",
    chunks=chunks,
    recognises=recognises,
    options=QuizletOptions,
    queue="cpu",
    suffixes=(),
)
