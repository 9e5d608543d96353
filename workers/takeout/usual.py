"""Entries of a page as nearly all are, many at once; a tree for each of them would take ten times as long.

What is found here is exactly what `pages.by_tree` and `events.event_of` find; whatever is not as usual is left to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import unescape
from typing import NamedTuple

from workers.takeout.events import MUSIC, Entry, Event, Kind, Link, event_of
from workers.takeout.pages import clean, decoded

PART_LIMIT = 4_000
"""Bytes of each part of a usual entry, so that remembering some of them takes no memory to speak of."""

FRAMES = 4
"""So many different ones are looked for in an entry before it is taken apart: videos, music, advertisements of both."""

Times = Callable[[Sequence[str]], Sequence[int | None]]
"""The moments of texts, in seconds since 1970, None for what is no moment."""

_FRONT = re.compile(
    r'<div class="outer-cell[^"<>]*"><div class="mdl-grid">'
    r'<div class="header-cell[^"<>]*"><p class="[^"<>]*">([^<>]*)<br></p></div>\s?'
    r'<div class="content-cell[^"<>]*">'
)
_BODY = re.compile(
    r"^(?:([^<>\n]*)"
    r'(?:<a href="(https://www\.youtube\.com/watch\?v=([A-Za-z0-9_-]{6,20})|[^"<>\n]+)">([^<>\n]*)</a>)?<br>'
    r'(?:<a href="(https://www\.youtube\.com/channel/([A-Za-z0-9_-]+)|[^"<>\n]+)">([^<>\n]*[^<>\s][^<>\n]*)</a><br>)?'
    r"([^<>\n]*\d[^<>\n]*)(?:<br>)?|.*)$",
    re.MULTILINE,
)
"""Lines that are bodies: the verb, an address, its video, its text, a channel, its id, its name, the moment."""
_BACK = re.compile(
    r'</div>\s?<div class="content-cell[^"<>]*"></div>\s?'
    r'<div class="content-cell[^"<>]*typography--caption">([^<>]*(?:(?:</?b>|<br>)[^<>]*)*)</div></div></div>'
)


class Frame(NamedTuple):
    """What is around an entry's body says this much."""

    product: str
    is_ad: bool


Body = tuple[str, str, str, str, str, str, str, str]
"""The groups of `_BODY`. Without a moment, all are empty."""


def events_of(entries: Sequence[bytes], times: Times) -> list[Event | None]:
    """What entries are understood as; None for each that is not as usual."""
    found: list[Event | None] = [None] * len(entries)
    places, frames, bodies = _taken_apart(entries)
    lines = decoded(b"\n".join(bodies))
    if lines.count("\n") >= len(bodies):  # one of them has lines of its own
        return found
    rows: list[Body] = _BODY.findall(lines)
    names, channels, moments = (_plain([row[part] for row in rows]) for part in (3, 6, 7))
    parts = zip(places, frames, rows, names, channels, times(moments), strict=True)
    for place, frame, row, name, channel, at in parts:
        if at is not None:
            found[place] = _event(frame, row, name, channel, at)
    return found


def _event(frame: Frame, row: Body, name: str, channel: str, at: int) -> Event:
    verb, url, video_id, _, channel_url, channel_id, _, _ = row
    product, is_ad = frame
    if video_id and name and name != url and not is_ad and (channel_id or not channel_url):
        kind = Kind.MUSIC if product == MUSIC else Kind.VIDEO
        return Event(at, kind, name, video_id, url, channel or None, channel_id or None, channel_url or None, product)
    what = Link(name, unescape(url)) if url else Link(plain(verb), None)
    return event_of(Entry(what, Link(channel, plain(channel_url)) if channel_url else None, at, product, is_ad))


def _taken_apart(entries: Sequence[bytes]) -> tuple[list[int], list[Frame], list[bytes]]:
    """The places of the entries whose frame is as usual, their frames and their bodies.

    What is in front of a body and behind it is the same in most entries of a page, so that is looked at once.
    """
    places, frames, bodies = list[int](), list[Frame](), list[bytes]()
    known: list[tuple[bytes, bytes, Frame]] = []
    for place, entry in enumerate(entries):
        for usual in known:
            front, back, frame = usual
            if entry.startswith(front) and entry.endswith(back):
                break
        else:
            # The first </div> ends the header, the next one the body.
            start = entry.find(b'">', entry.find(b"</div>") + 1) + 2
            end = entry.find(b"</div>", start)
            if end < 0 or max(start, len(entry) - end) > PART_LIMIT:
                continue
            front, back = entry[:start], entry[end:]
            if (found := _frame(front, back)) is None:
                continue
            frame = found
            known = [(front, back, frame), *known[: FRAMES - 1]]
        body = entry[len(front) : len(entry) - len(back)]
        if len(body) <= PART_LIMIT:
            places.append(place)
            frames.append(frame)
            bodies.append(body)
    return places, frames, bodies


@lru_cache(256)
def _frame(front: bytes, back: bytes) -> Frame | None:
    above, below = _FRONT.fullmatch(decoded(front)), _BACK.match(decoded(back))
    return Frame(plain(above[1]), "Google Ads" in below[1]) if above and below else None


def plain(text: str) -> str:
    """Text of a page as a tree tells it."""
    return clean(unescape(text)) if "&" in text else clean(text)


def _plain(texts: Sequence[str]) -> list[str]:
    """The same for lines, all at once."""
    lines = "\n".join(texts)
    if "&" in lines:
        lines = unescape(lines)
    found = lines.replace("\u00a0", " ").split("\n")
    return [text.strip() for text in found] if len(found) == len(texts) else [plain(text) for text in texts]
