"""Delimited text of any dialect and encoding into typed rows; the reading itself is in `workers.delimited`."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from csv import Error as CsvError
from csv import reader
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from service.domain.chunk import Chunk
from service.domain.filetype import PACKINGS
from service.domain.glimpse import Glimpse, Guess
from service.domain.processor import Cut, Processor, Work
from service.domain.row_options import RowOptions

_HEADINGS = frozenset(
    {"term", "definition", "front", "back", "question", "answer", "word", "meaning", "name", "id", "key", "value"}
)
_NUMBER = re.compile(r"\s*[-+]?[\d.,:/-]*\d%?\s*")


def _unescaped(text: Any) -> Any:
    r"""`tab` and `\t` as people type them into a URL."""
    return {"tab": "\t", "\\t": "\t", "space": " "}.get(text, text) if isinstance(text, str) else text


def _one_sign(text: str) -> str:
    if len(text) > 1 or (text and (not text.isascii() or text.isalnum() or text in "\r\n\0")):
        raise ValueError("must be one ASCII character that is no letter or digit, or empty for none")
    return text


def _delimiting(text: str) -> str:
    if any(c in '\r\n\0"' or c.isalnum() for c in text):
        raise ValueError("must have no letter, digit, quote or line end")
    return text


def _python_name(text: str) -> str:
    try:
        codec = codecs.lookup(text)
        "".encode(codec.name)  # not those between texts, or between bytes
    except (LookupError, TypeError, ValueError):
        codec = None
    if codec is None or codec.name in {
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "raw_unicode_escape",
        "utf-7",
    }:
        raise ValueError(f"{text[:40]!r} is no encoding; use a name such as utf-8, cp1252, iso-8859-2, shift_jis")
    return "utf-8" if codec.name in ("ascii", "utf-8-sig") else codec.name


def _words(given: Any) -> Any:
    """A list, JSON of one, or words between commas."""
    if not isinstance(given, str):
        return given
    return json.loads(given) if given.startswith("[") else given.split(",")


Sign = Annotated[str, AfterValidator(_one_sign)]


class CsvOptions(RowOptions):
    """None means: look at the file."""

    encoding: Annotated[str, AfterValidator(_python_name)] | None = Field(
        None, description="Such as utf-8, cp1252 or shift_jis."
    )
    member: str | None = Field(None, description="The file to read in an archive of several.")
    delimiter: (
        Annotated[str, BeforeValidator(_unescaped), Field(min_length=1, max_length=8), AfterValidator(_delimiting)]
        | None
    ) = Field(None, description="What stands between two cells: 1 to 8 characters, `tab` or `space`.")
    quote: Sign | None = Field(None, description="The sign around a cell that has delimiters or line ends in it.")
    escape: Sign | None = Field(None, description="The sign that takes the meaning of the one behind it.")
    comment: Sign | None = Field(None, description="Lines that begin with this sign are left out.")
    header: bool | Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="Whether a header names the columns, or of how many lines it is."
    )
    skip_rows: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None, description="Lines above the table, such as titles, that are left out."
    )
    ragged: Literal["reject", "pad"] = Field(
        "reject", description="Refuse rows that have too few cells, or fill them up at the end."
    )
    nulls: Annotated[list[str], BeforeValidator(_words), Field(max_length=100)] | None = Field(
        None, description="Words that stand for no value, in every column."
    )
    decimal: Literal[".", ","] | None = Field(None, description="The sign before the decimals of a number.")
    thousands: Literal["", ",", ".", " ", "'", "’", "\xa0", "\u202f"] | None = Field(
        None, description="The sign between the thousands of a number."
    )
    date_order: Literal["dmy", "mdy", "ymd"] | None = Field(
        None, description="Whether 01/02/2024 is in February, `dmy`, or in January, `mdy`."
    )


def recognises(glimpse: Glimpse) -> Guess | None:
    """Lines of as many fields each, with one of the usual delimiters."""
    lines = glimpse.lines
    if not lines or lines[0].lstrip()[:1] in ("{", "[", "<"):
        return None
    if lines[0].startswith("sep=") and len(lines[0]) == 5:
        return Guess(0.95, "the first line says sep=")
    best = max((_widths(lines, delimiter) for delimiter in ",;\t|"), key=lambda found: found[:2])
    share, width, delimiter = best
    if width < 2:
        return Guess(0.62 if glimpse.suffix in (".csv", ".tsv") else 0.3, "lines of one field each")
    shown = "a tab" if delimiter == "\t" else repr(delimiter)
    why = f"{share:.0%} of the first {len(lines)} lines have {width} fields between {shown}"
    if len(lines) == 1 or (delimiter == "," and width == 2 and share < 1):
        return Guess(0.5, why)  # as prose does
    is_pairs = width == 2 and not _has_header(lines, delimiter)
    return Guess((0.8 if is_pairs else 0.9) if share >= 0.9 else 0.6 * share, why)


def _widths(lines: list[str], delimiter: str) -> tuple[float, int, str]:
    """The share of the records that have the commonest number of fields, and that number."""
    try:
        counts = Counter(len(row) for row in reader(lines, delimiter=delimiter) if row)
    except CsvError:
        return 0.0, 0, delimiter
    width, times = max(counts.items(), key=lambda counted: (counted[1], counted[0]), default=(0, 0))
    return (times / max(counts.total(), 1) if width > 1 else 0.0), width, delimiter


def _has_header(lines: list[str], delimiter: str) -> bool:
    """Whether the first line says what columns are called, by its words or because numbers are below them."""
    first, *rest = list(reader(lines, delimiter=delimiter))
    below = [[row[at] for row in rest if len(row) > at] for at in range(len(first))]
    return any(cell.strip().lower() in _HEADINGS for cell in first) or any(
        cells and not _NUMBER.fullmatch(name) and all(map(_NUMBER.fullmatch, cells))
        for name, cells in zip(first, below, strict=True)
    )


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Blocks of whole records as typed batches. Raises InputError for a file that is no delimited text."""
    # Only the child process that reads a file pays for pyarrow; the API imports this module for its options.
    from workers.delimited import read
    from workers.opening import Given
    from workers.recognition import Wishes

    asked = CsvOptions.model_validate(work.options.model_dump())
    signs = {"delimiter": asked.delimiter, "quote": asked.quote, "escape": asked.escape, "comment": asked.comment}
    given = Given(
        encoding=asked.encoding,
        member=asked.member,
        dialect={name: sign or None for name, sign in signs.items() if sign is not None},
        ragged=asked.ragged,
        header=asked.header,
        skip_rows=asked.skip_rows,
        wishes=Wishes(
            None if asked.nulls is None else tuple(asked.nulls), asked.decimal, asked.thousands, asked.date_order
        ),
    )
    for chunk in read(work, asked, given):
        yield chunk


def cuts(work: Work, every: int) -> Iterator[Cut]:
    """Places where the file can be cut, about `every` bytes apart."""
    from workers.delimited import cuts

    return cuts(work, every)


processor = Processor(
    name="csv",
    title="CSV, TSV and other delimited text",
    chunks=chunks,
    cuts=cuts,
    recognises=recognises,
    options=CsvOptions,
    queue="cpu",
    suffixes=(".csv", ".tsv", ".txt", ".tab", ".psv", ".gz", ".zip", ".zst", ".bz2", ".xz"),
    accepts=("text", "binary", *PACKINGS),
)
