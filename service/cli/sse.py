"""Server-Sent Events out of bytes, as the HTML standard describes them (section 9.2.6)."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` and `retry_ms` are what the stream has last set, in this message or before it."""

    event: str
    data: str
    id: str
    retry_ms: int | None


def messages(pieces: Iterable[bytes]) -> Iterator[Message]:
    """The messages in a body that arrives in pieces; one without its closing empty line is incomplete and dropped."""
    event, data, last_id, retry_ms = "", list[str](), "", None
    for line in _lines(pieces):
        if not line:
            if data:
                yield Message(event or "message", "\n".join(data), last_id, retry_ms)
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:  # a comment has an empty field name
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value
            case "retry" if value.isascii() and value.isdecimal():
                retry_ms = int(value)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    # Lines end in \n, \r\n or \r and in nothing else, which str.splitlines and httpx see differently.
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True)
    rest = ""
    for piece in pieces:
        *complete, rest = (rest + decoder.decode(piece)).split("\n")
        yield from complete
