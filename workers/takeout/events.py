"""What one entry of a watch history says, whichever form it came in."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Kind(StrEnum):
    """What was done. An advertisement that was watched is an `ad`, not a `video`."""

    VIDEO = "video"
    SHORT = "short"
    MUSIC = "music"
    AD = "ad"
    REMOVED = "removed"
    POST = "post"
    STORY = "story"
    SEARCH = "search"
    OTHER = "other"


class Link(NamedTuple):
    """A text and where it leads, None if nowhere."""

    text: str
    url: str | None


class Entry(NamedTuple):
    """An entry as read: the activity, the channel under it, when (seconds since 1970), on which product, and why."""

    what: Link
    channel: Link | None
    at: int
    product: str
    is_ad: bool


class Event(NamedTuple):
    """An entry as understood. `title` is None where Takeout only has the address, as of removed and private videos."""

    at: int
    kind: Kind
    title: str | None
    video_id: str | None
    url: str | None
    channel: str | None
    channel_id: str | None
    channel_url: str | None
    product: str


_VIDEO_ID = re.compile(r"[\w-]{6,20}", re.ASCII)
"""Eleven characters today."""
_WATCH = "https://www.youtube.com/watch?v="
"""How nearly all addresses of a history begin; behind it they have an id and nothing else."""
MUSIC = "YouTube Music"


def event_of(entry: Entry) -> Event:
    """Tell what an entry is by its addresses, which no language changes."""
    (text, address), channel, at, product, is_ad = entry
    url = address and unwrapped(address)
    title = None if not text or text in (url, address) else text
    if url and title and not is_ad and url.startswith(_WATCH) and _VIDEO_ID.fullmatch(url, len(_WATCH)):
        video_id: str | None = url[len(_WATCH) :]
        kind = Kind.MUSIC if product == MUSIC else Kind.VIDEO
    else:
        path, query, host = _parts(url)
        video_id = _video_id(path, query, host)
        kind = _kind(entry, host, path, query, video_id, title)
    if channel is None:
        return Event(at, kind, title, video_id, url, None, None, None, product)
    name, channel_url = channel
    return Event(at, kind, title, video_id, url, name or None, _channel_id(channel_url), channel_url, product)


def unwrapped(url: str) -> str:
    """The address behind Google's redirect, if it is one."""
    if url.startswith(("https://www.google.com/url?", "http://www.google.com/url?")):
        inner = parse_qs(urlsplit(url).query).get("q", [""])[0]
        return inner if inner.startswith(("http://", "https://")) else url
    return url


def video_id_of(url: str) -> str | None:
    """The id of the video an address leads to, None if it leads to none."""
    return _video_id(*_parts(url))


def _kind(entry: Entry, host: str, path: str, query: dict[str, str], video_id: str | None, title: str | None) -> Kind:
    if path == "/results" and "search_query" in query:
        return Kind.SEARCH
    if entry.is_ad:
        return Kind.AD
    if path.startswith("/post/") or "/community" in path:
        return Kind.POST
    if path.startswith("/stories/") or "/story/" in path:
        return Kind.STORY
    if entry.what.url is None or (video_id and title is None):
        return Kind.REMOVED
    if not video_id:
        return Kind.OTHER
    if path.startswith("/shorts/"):
        return Kind.SHORT
    is_music = host == "music.youtube.com" or entry.product == MUSIC
    return Kind.MUSIC if is_music else Kind.VIDEO


def _parts(url: str | None) -> tuple[str, dict[str, str], str]:
    if not url:
        return "", {}, ""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    except ValueError:
        return "", {}, ""
    if host not in ("youtube.com", "music.youtube.com", "youtu.be", "youtube-nocookie.com"):
        return "", {}, host
    query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    return parts.path, query, host


def _video_id(path: str, query: dict[str, str], host: str) -> str | None:
    if path == "/watch":
        found = unquote(query.get("v", ""))
    elif path.startswith(("/shorts/", "/live/", "/embed/", "/v/")):
        found = path.split("/")[2]
    elif host == "youtu.be":
        found = path[1:]
    else:
        return None
    return found if _VIDEO_ID.fullmatch(found) else None


def _channel_id(url: str | None) -> str | None:
    if url is None:
        return None
    _, marker, rest = url.partition("/channel/")
    return rest.split("/")[0].split("?")[0] or None if marker else None
