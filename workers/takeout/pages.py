"""Watch histories as HTML: `watch-history.html`, `MyActivity.html`, and what other languages call them.

The page is one line of up to hundreds of megabytes; it is cut at its entries and parsed a megabyte at a time. Read by
structure and addresses, never by words, which are in the account's language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import BinaryIO, NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from workers.takeout.events import Link

ENTRY = b'<div class="outer-cell'
ENTRY_TEXT = ENTRY.decode()
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
    """Whole entries up to byte `end` of the file: each parsed, or its text if it is not as entries are."""

    end: int
    cards: list[Card | str]


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
                texts = held[first:cut].decode("utf-8", errors="replace").split(ENTRY_TEXT)[1:]
                yield Batch(offset + cut, [card_of(ENTRY_TEXT + text) for text in texts])
                offset, held = offset + cut, held[cut:]
        if not data:
            return


def card_of(text: str) -> Card | str:
    """One entry, by its usual form if it has that, else by its tree. Both ways give the same."""
    return _usual(text) or by_tree(text)


def by_tree(text: str) -> Card | str:
    """One entry by its structure, whatever else is in it; its text if it is not as entries are."""
    if (cell := LexborHTMLParser(text).css_first("div.outer-cell")) is None:
        return _clean(text)
    title, body, caption = None, None, ""
    for part in cell.css("div"):
        classes = part.attributes.get("class") or ""
        if "header-cell" in classes:
            title = _clean(part.text())
        elif "typography--caption" in classes:
            caption += part.text(separator="\n")
        elif "content-cell" in classes and body is None:
            body = part
    lines = _lines(body) if body is not None else []
    if title is None or len(lines) < 2 or lines[-1][0].url is not None:
        return _clean(cell.text(separator=" "))
    between = tuple(line[0] for line in lines[1:-1])
    return Card(title, _activity(lines[0]), between, lines[-1][0].text, "Google Ads" in caption)


def _lines(body: LexborNode) -> list[list[Link]]:
    """The text and links of each line that has any."""
    lines: list[list[Link]] = [[]]
    for node in body.iter(include_text=True):
        if node.tag == "br":
            lines.append([])
        elif node.tag == "a":
            lines[-1].append(Link(_clean(node.text()), node.attributes.get("href")))
        elif text := _clean(node.text()):
            lines[-1].append(Link(text, None))
    return [line for line in lines if line]


def _activity(line: list[Link]) -> Link:
    """The link of the first line; without one, as of a removed video, its words."""
    return next((link for link in line if link.url is not None), Link(" ".join(link.text for link in line), None))


_FRONT = re.compile(
    r'<div class="outer-cell[^"<>]*"><div class="mdl-grid">'
    r'<div class="header-cell[^"<>]*"><p class="[^"<>]*">([^<>]*)<br></p></div>\s?'
    r'<div class="content-cell[^"<>]*">'
)
_BODY = re.compile(
    r'([^<>]*)(?:<a href="([^"<>]+)">([^<>]*)</a>)?<br>'
    r'(?:<a href="([^"<>]+)">([^<>]*[^<>\s][^<>]*)</a><br>)?'
    r"([^<>]*\d[^<>]*)(?:<br>)?"
)
_BACK = re.compile(
    r'</div>\s?<div class="content-cell[^"<>]*"></div>\s?'
    r'<div class="content-cell[^"<>]*typography--caption">([^<>]*(?:(?:</?b>|<br>)[^<>]*)*)</div></div></div>'
)
PART_LIMIT = 4_000
"""Characters of each part of a usual entry, so that remembering some of them takes no memory to speak of."""


def _usual(text: str) -> Card | None:
    """An entry that is as nearly all are; a tree for each of them would take five times as long.

    What is in front of its body and behind it is the same in most entries of a page, so that is looked at once.
    """
    # The first </div> ends the header, the next one the body.
    start = text.find('">', text.find("</div>") + 1) + 2
    end = text.find("</div>", start)
    if end < 0 or max(start, end - start, len(text) - end) > PART_LIMIT:
        return None
    product, is_ad = _product(text[:start]), _is_ad(text[end:])
    if product is None or is_ad is None or not (found := _BODY.fullmatch(text, start, end)):
        return None
    verb, url, name, channel_url, channel, when = found.groups()
    lines = () if channel is None else (_link(channel, channel_url),)
    what = Link(_plain(verb), None) if url is None else Link(_plain(name), unescape(url) if "&" in url else url)
    return Card(product, what, lines, _plain(when), is_ad)


@lru_cache(64)
def _product(front: str) -> str | None:
    found = _FRONT.fullmatch(front)
    return _plain(found[1]) if found else None


@lru_cache(64)
def _is_ad(back: str) -> bool | None:
    found = _BACK.match(back)
    return "Google Ads" in found[1] if found else None


@lru_cache(512)
def _link(text: str, url: str) -> Link:
    return Link(_plain(text), _plain(url))


def _plain(text: str) -> str:
    return _clean(unescape(text)) if "&" in text else text.strip() if text.isascii() else _clean(text)


def _clean(text: str) -> str:
    return text.replace("\u00a0", " ").strip()
