"""The encoded rows of a chunk on their way from its child to PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from service.store.database import Connection
from workers.frames import PIECE_BYTES

_COPY_DATA = struct.Struct(">cI")
_LENGTH_BYTES = 4

BUFFER_BYTES = 1024 * 1024
"""Room between us and PostgreSQL, as far as the system grants it: it goes on while the event loop is busy."""


class Payload(Protocol):
    """A complete binary COPY stream."""

    def over(self, db: Connection) -> AsyncIterator[bytes]:
        """The source of one COPY on this connection, which must take it to its end."""

    def free(self) -> None:
        """Let go of it; the server has read what it needs."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """A payload that came through the child's pipe."""

    pieces: list[bytes]

    async def over(self, db: Connection) -> AsyncIterator[bytes]:
        """The pieces, one by one, each let go once it is sent."""
        self.pieces.reverse()
        while self.pieces:
            yield self.pieces.pop()

    def free(self) -> None:
        """Nothing is left."""
        self.pieces.clear()


@dataclass(frozen=True, slots=True)
class Shared:
    """A payload of `length` bytes in memory shared with the child."""

    descriptor: int
    length: int
    let_go: Callable[[], None]

    async def over(self, db: Connection) -> AsyncIterator[bytes]:
        """Have the kernel send it past us where it can, else read it piece by piece."""
        if (transport := _plain(db)) is not None:
            try:
                await _send(transport, self.descriptor, self.length)
            except Exception:  # of a cancellation asyncpg has to hear first; who acquired the connection ends it then
                db.terminate()  # a message was broken off: nothing may follow on this connection
                raise
            return
        for start in range(0, self.length, PIECE_BYTES):
            yield os.pread(self.descriptor, min(PIECE_BYTES, self.length - start), start)

    def free(self) -> None:
        """Let the child use the memory again."""
        self.let_go()


def _plain(db: Connection) -> asyncio.WriteTransport | None:
    """The connection's transport, if what is written to its socket reaches the server as it is."""
    # asyncpg says nothing of its transport in public; where it hides it elsewhere, rows take the longer way.
    transport: asyncio.WriteTransport | None = getattr(getattr(db, "_con", db), "_transport", None)
    if transport is None or transport.get_extra_info("ssl_object") is not None:
        return None
    if transport.get_extra_info("socket") is None or transport.get_write_buffer_size() > 0:
        return None
    return transport


async def _send(transport: asyncio.WriteTransport, descriptor: int, length: int) -> None:
    """Write CopyData messages straight to the socket."""
    opened: socket.socket = transport.get_extra_info("socket")
    duplicate = os.dup(opened.fileno())  # the loop lets nobody but the transport watch the descriptor itself
    _widen(duplicate)
    try:
        for start in range(0, length, PIECE_BYTES):
            size = min(PIECE_BYTES, length - start)
            await _written(duplicate, _COPY_DATA.pack(b"d", _LENGTH_BYTES + size))
            await _copied(duplicate, descriptor, start, size)
    finally:
        os.close(duplicate)


def _widen(descriptor: int) -> None:
    opened = socket.socket(fileno=descriptor)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    finally:
        opened.detach()


async def _written(out: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(out, data) :]
        except BlockingIOError:
            await _writable(out)


async def _copied(out: int, source: int, start: int, size: int) -> None:
    end = start + size
    while start < end:
        try:
            sent = os.sendfile(out, source, start, end - start)
        except BlockingIOError:
            await _writable(out)
            continue
        if sent == 0:
            raise OSError("the rows of a chunk were cut short")
        start += sent


async def _writable(out: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(out, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(out)
