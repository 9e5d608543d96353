"""A JSON document: its array, one that is named inside it, or its one object, into typed rows.

The document is read as a stream; the reading itself is in `workers.documents`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice

from pydantic import Field

from service.domain.chunk import Chunk
from service.domain.filetype import PACKINGS
from service.domain.glimpse import Glimpse, Guess
from service.domain.json_options import JsonOptions
from service.domain.processor import Processor, Work

DEPTH = 3
_BEGINNING = re.compile(r'\[\s*(?:[\[{"\]\d-]|true|false|null|$)|\{\s*(?:["}]|$)')
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class DocumentOptions(JsonOptions):
    """Without a path the document itself is the array, or the one row."""

    path: str = Field(
        "",
        max_length=2_000,
        description="Where the array is: keys with dots between, or a pointer such as /data/items.",
    )

    @property
    def keys_to_it(self) -> tuple[str, ...]:
        """The keys of the path; in a pointer (RFC 6901) a key may have dots too."""
        if self.path.startswith("/"):
            return tuple(key.replace("~1", "/").replace("~0", "~") for key in self.path[1:].split("/"))
        return tuple(self.path.split(".")) if self.path else ()


def recognises(glimpse: Glimpse) -> Guess | None:
    """A text that begins as a JSON array or object does; with the path, if one array of objects is seen inside it."""
    text = (glimpse.text or "").lstrip()
    if not _BEGINNING.match(text):
        return None
    _, is_all = glimpse.first_value
    if glimpse.is_whole and not is_all:
        return Guess(0.3, "it begins as JSON does, and does not go on so")
    if text.startswith("["):
        return Guess(0.9, "an array of JSON")
    paths = list(islice(arrays_in(text), 2))
    if len(paths) == 1:
        return Guess(0.9, f"an object of JSON with rows under {paths[0]}", {"path": paths[0]})
    return Guess(0.9 if not paths else 0.75, "an object of JSON" + (" with several arrays" if paths else ""))


def arrays_in(text: str) -> Iterator[str]:
    """Paths of the arrays of objects inside the objects of a text, as far as it goes, up to DEPTH keys deep."""
    keys, opened, last = list[str](), list[str](), ""
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark[0] == '"':
            last = mark
        elif mark in "[{":
            if mark == "{" and opened[-1:] == ["["] and set(opened[:-1]) == {"{"} and len(opened) <= DEPTH + 1:
                yield "/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys[1:])
                opened[-1] = "rows"  # once; whatever is inside of it is inside of rows
            opened.append(mark)
            keys.append(_key(last))
        elif opened:
            opened.pop()
            keys.pop()


def _key(written: str) -> str:
    try:
        return str(json.loads(written or '""'))
    except ValueError:
        return ""


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Elements as typed batches. Raises InputError from where on the file is not JSON."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.documents import read

    options = DocumentOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options, options.keys_to_it):
        yield chunk


processor = Processor(
    name="json",
    title="A JSON document: an array, one inside it, or an object",
    chunks=chunks,
    recognises=recognises,
    options=DocumentOptions,
    queue="cpu",
    suffixes=(".json", ".geojson"),
    accepts=("text", "binary", *PACKINGS),
)
