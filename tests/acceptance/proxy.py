"""A TCP proxy before PostgreSQL that reads the protocol along, and breaks connections at a chosen message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

COPY_DATA = b"d"
COMMAND_COMPLETE = b"C"
COMMITTED = b"COMMIT\0"


@dataclass(eq=False)
class Link:
    """One connection; what has passed since its last COMMIT."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    copies: bool = False

    def cut(self) -> None:
        """Break it in both directions, without a goodbye."""
        for writer in self.writers:
            writer.transport.abort()


Fault = Callable[[Link, bytes, bytes], int | None]
"""Sees each message (the link, its kind, all its bytes): how many bytes of it still pass if this is the moment."""


def in_copy(skip_bytes: int) -> Fault:
    """The moment when that many bytes of rows have passed, on whichever connections."""
    left = skip_bytes

    def strike(_link: Link, kind: bytes, message: bytes) -> int | None:
        nonlocal left
        if kind != COPY_DATA:
            return None
        left -= len(message)
        return None if left > 0 else len(message) + left

    return strike


def before_the_reply_to_commit(skip: int, *, of_chunks: bool) -> Fault:
    """The moment when the server has committed and the client does not know: of a chunk's transaction, or of any."""
    left = skip

    def strike(link: Link, kind: bytes, message: bytes) -> int | None:
        nonlocal left
        if kind != COMMAND_COMPLETE or message[5:] != COMMITTED or (of_chunks and not link.copies):
            return None
        left -= 1
        return 0 if left < 0 else None

    return strike


class Proxy:
    """Passes bytes on until a fault strikes. `url` is that of the database behind it."""

    def __init__(self, behind: str) -> None:
        there, query = urlsplit(behind), parse_qs(urlsplit(behind).query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._database = f"{there.username}@127.0.0.1:{{}}{there.path}?sslmode=disable"
        self._links: set[Link] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._struck = asyncio.Event()
        self._fault: Fault | None = None
        self._hangs = False
        self.url = ""

    async def strike(self, fault: Fault, *, hang: bool = False, timeout_s: float = 30) -> None:
        """Wait for that moment; then cut the one connection, or let nothing pass on any until `thaw`."""
        self._struck.clear()
        self._fault, self._hangs = fault, hang
        async with asyncio.timeout(timeout_s):
            await self._struck.wait()

    def thaw(self) -> None:
        """Pass on what was held back."""
        self._flows.set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Proxy]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "postgresql://" + self._database.format(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            self.thaw()
            for link in list(self._links):
                link.cut()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = Link([to_client])
        self._links.add(link)
        try:
            server, to_server = await asyncio.open_unix_connection(self._socket)
            link.writers.append(to_server)
            size = await client.readexactly(4)  # the first message has no kind
            to_server.write(size + await client.readexactly(int.from_bytes(size) - 4))
            await asyncio.gather(self._pass(link, client, to_server), self._pass(link, server, to_client))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            link.cut()
            self._links.discard(link)

    async def _pass(self, link: Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while True:
            await self._flows.wait()
            head = await source.readexactly(5)
            message = head + await source.readexactly(int.from_bytes(head[1:]) - 4)
            passes = self._fault(link, head[:1], message) if self._fault else None
            if passes is not None:
                self._fault = None
                await self._break(link, sink, message[:passes])
                message = message[passes:]
            await self._flows.wait()
            _note(link, head[:1], message)
            sink.write(message)
            await sink.drain()

    async def _break(self, link: Link, sink: asyncio.StreamWriter, last: bytes) -> None:
        sink.write(last)
        with suppress(OSError):
            await sink.drain()
        if self._hangs:
            self._flows.clear()
            self._struck.set()
        else:
            self._struck.set()
            link.cut()
            raise ConnectionAbortedError


def _note(link: Link, kind: bytes, message: bytes) -> None:
    if kind == COPY_DATA:
        link.copies = True
    elif kind == COMMAND_COMPLETE and message[5:] == COMMITTED:
        link.copies = False
