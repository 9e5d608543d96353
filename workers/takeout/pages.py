"""Watch histories as HTML: `watch-history.html`, `MyActivity.html`, and what other languages call them.

The page is one line of up to hundreds of megabytes; it is cut at its entries and parsed a megabyte at a time. Read by
structure and addresses, never by words, which are in the account's language.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from workers.takeout.events import Link

ENTRY = b'<div class="outer-cell'
BATCH_BYTES = 512 * 1024
SAMPLE_BYTES = 256 * 1024
"""Of a page's entries to settle its language by."""
ENTRY_LIMIT = 1024 * 1024
"""The longest entry; real ones have about a thousand bytes."""


class Card(NamedTuple):
    """One entry as the page shows it. `when` is its last line; `lines` are those between activity and time."""

    product: str
    what: Link
    lines: tuple[Link, ...]
    when: str
    is_ad: bool


class Batch(NamedTuple):
    """Whole entries up to byte `end` of the file, as they are written."""

    end: int
    entries: list[bytes]


def batches(source: BinaryIO, offset: int, size_bytes: int = BATCH_BYTES) -> Iterator[Batch]:
    """The entries from `offset`, which is 0 or the end of a batch, about `size_bytes` at a time."""
    held = b""
    while True:
        source.seek(offset + len(held))  # of a packed file, what lies before that is let go
        data = source.read(size_bytes)
        held += data
        first = held.find(ENTRY)
        if first < 0:
            kept = held[-(len(ENTRY) - 1) :] if data else b""
            offset, held = offset + len(held) - len(kept), kept
        else:
            cut = held.rfind(ENTRY) if data else len(held)
            if cut == first and len(held) - first > ENTRY_LIMIT:
                cut = len(held)  # an entry without an end is one bad entry, and what follows it is looked at anew
            if cut > first:
                yield Batch(offset + cut, [ENTRY + rest for rest in held[first:cut].split(ENTRY)[1:]])
                offset, held = offset + cut, held[cut:]
        if not data:
            return


def by_tree(entry: bytes) -> Card | str:
    """One entry by its structure, whatever else is in it; its text if it is not as entries are."""
    text = decoded(entry)
    if (cell := LexborHTMLParser(text).css_first("div.outer-cell")) is None:
        return clean(text)
    title, body, caption = None, None, ""
    for part in cell.css("div"):
        classes = part.attributes.get("class") or ""
        if "header-cell" in classes:
            title = clean(part.text())
        elif "typography--caption" in classes:
            caption += part.text(separator="\n")
        elif "content-cell" in classes and body is None:
            body = part
    lines = _lines(body) if body is not None else []
    if title is None or len(lines) < 2 or lines[-1][0].url is not None:
        return clean(cell.text(separator=" "))
    between = tuple(line[0] for line in lines[1:-1])
    return Card(title, _activity(lines[0]), between, lines[-1][0].text, "Google Ads" in caption)


def _lines(body: LexborNode) -> list[list[Link]]:
    """The text and links of each line that has any."""
    lines: list[list[Link]] = [[]]
    for node in body.iter(include_text=True):
        if node.tag == "br":
            lines.append([])
        elif node.tag == "a":
            lines[-1].append(Link(clean(node.text()), node.attributes.get("href")))
        elif text := clean(node.text()):
            lines[-1].append(Link(text, None))
    return [line for line in lines if line]


def _activity(line: list[Link]) -> Link:
    """The link of the first line; without one, as of a removed video, its words."""
    return next((link for link in line if link.url is not None), Link(" ".join(link.text for link in line), None))


def decoded(data: bytes) -> str:
    """Text of a page, which is UTF-8; what is not shows as such."""
    return data.decode("utf-8", errors="replace")


def clean(text: str) -> str:
    """Without blanks around it; those that keep words together are as others."""
    return text.replace("\u00a0", " ").strip()
