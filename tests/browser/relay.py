"""A TCP relay before the service that cuts its connections, stops uploads, and holds back or refuses event streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

STREAM = b"accept: text/event-stream"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

Streams = Literal["pass", "hold", "refuse"]


@dataclass(eq=False)
class Link:
    """One connection of the browser."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    carries_stream: bool = False

    def cut(self) -> None:
        """Break it in both directions, without a goodbye."""
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass
class Relay:
    """Passes bytes on, from the browser no more than `most_bytes` until `go_on`.

    `streams` says what becomes of requests for event streams; `streamed` counts them.
    """

    behind: str
    streams: Streams = "pass"
    streamed: int = 0
    url: str = ""
    links: set[Link] = field(default_factory=set)
    most_bytes: float = math.inf
    passed_bytes: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _going: asyncio.Event = field(default_factory=asyncio.Event)

    def go_on(self, most_bytes: float = math.inf) -> None:
        """Let so many bytes pass in all, and say `stopped` when they have."""
        self.most_bytes = most_bytes
        self.stopped.clear()
        going, self._going = self._going, asyncio.Event()
        going.set()

    def cut(self, *, streams_only: bool = False) -> int:
        """Cut every connection, or those with a stream; how many."""
        chosen = [link for link in self.links if link.carries_stream or not streams_only]
        for link in chosen:
            link.cut()
        return len(chosen)

    @property
    def open_streams(self) -> int:
        """Event streams that are open now."""
        return sum(link.carries_stream for link in self.links)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Relay]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        there = urlsplit(self.behind)
        try:
            server, to_server = await asyncio.open_connection(there.hostname, there.port)
        except OSError:
            to_client.transport.abort()
            return
        link = Link(to_client, to_server)
        self.links.add(link)
        try:
            await asyncio.gather(self._ask(link, client), self._answer(link, server))
        except (ConnectionError, OSError):
            pass
        finally:
            link.cut()
            self.links.discard(link)

    async def _ask(self, link: Link, client: asyncio.StreamReader) -> None:
        while asked := await client.read(65536):
            if STREAM in asked.lower():
                link.carries_stream = True
                self.streamed += 1
                if self.streams == "refuse":
                    link.client.write(REFUSAL)
                    with suppress(OSError):
                        await link.client.drain()
                    link.client.close()
                    raise ConnectionResetError
            elif asked[:5] in (b"GET /", b"POST ", b"HEAD ", b"PATCH", b"DELET"):
                link.carries_stream = False
            while self.passed_bytes > self.most_bytes:
                self.stopped.set()
                await self._going.wait()
            self.passed_bytes += len(asked)
            link.server.write(asked)
            await link.server.drain()
        raise ConnectionResetError

    async def _answer(self, link: Link, server: asyncio.StreamReader) -> None:
        while told := await server.read(65536):
            if not (link.carries_stream and self.streams == "hold"):
                link.client.write(told)
                await link.client.drain()
        raise ConnectionResetError
