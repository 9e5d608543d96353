"""YouTube on the loopback: its Data API and its oEmbed as they are documented, with their errors and oddities."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a-key-of-ours"


@dataclass
class YouTubeServer:
    """What it is asked, and what it answers. `faults` are answers that come first, one for each request."""

    url: str = ""
    gone: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    """The ids of each request."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            parts = urlsplit(target)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, headers, body = self._told(parts.path, query)
            head = f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        finally:
            writer.close()

    def _told(self, path: str, query: dict[str, str]) -> tuple[int, str, bytes]:
        if path == "/oembed":
            ids = [parse_qs(urlsplit(query["url"]).query)["v"][0]]
        else:
            assert path == "/youtube/v3/videos"
            ids = query["id"].split(",")
            assert len(ids) <= 50
        self.asked.append(ids)
        if self.faults:
            return _FAULTS[self.faults.pop(0)]
        if path == "/oembed":
            return self._embedded(ids[0])
        if query["key"] != KEY:
            return _FAULTS["key"]
        return _json(200, {"items": [_item(video_id) for video_id in ids if video_id not in self.gone]})

    def _embedded(self, video_id: str) -> tuple[int, str, bytes]:
        if video_id in self.gone:
            return 404, "", b"Not Found"
        match video_id[-1]:
            case "1":
                return 401, "", b"Unauthorized"
            case "3":
                return 403, "", b"Forbidden"
            case "4":
                return 200, "", b"Forbidden"
        return _json(200, {"title": f"Title of {video_id}", "author_name": "Someone", "author_url": "x"})


def _item(video_id: str) -> dict[str, Any]:
    return {
        "id": video_id,
        "snippet": {
            "title": f"Title of {video_id}",
            "channelTitle": "Someone",
            "channelId": "UC" + "a" * 22,
            "publishedAt": "2020-01-02T03:04:05Z",
        },
        "contentDetails": {"duration": "PT1H2M3S"},
        "status": {},
    }


def _json(status: int, body: object, headers: str = "") -> tuple[int, str, bytes]:
    return status, f"Content-Type: application/json\r\n{headers}", json.dumps(body).encode()


def _error(status: int, reason: str, headers: str = "") -> tuple[int, str, bytes]:
    said = {"code": status, "message": f"It is {reason}.", "errors": [{"reason": reason, "domain": "youtube"}]}
    return _json(status, {"error": said}, headers)


_FAULTS = {
    "key": _error(400, "keyInvalid"),
    "quota": _error(403, "quotaExceeded"),
    "not_configured": _error(403, "accessNotConfigured"),
    "often": _error(429, "rateLimitExceeded", "Retry-After: 1\r\n"),
    "away": (503, "", b"<html>"),
    "nothing": _json(200, {"kind": "youtube#videoListResponse"}),
    "text": (200, "", b"Forbidden"),
    "lost": _error(404, "notFound"),
}


@asynccontextmanager
async def youtube_server() -> AsyncIterator[YouTubeServer]:
    """One that listens until the block ends."""
    made = YouTubeServer()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made
