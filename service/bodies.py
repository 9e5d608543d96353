"""Bodies of a known length, read from the socket straight into the blocks that are hashed, sealed and written.

Through uvicorn a body comes in pieces of what one read gives, each parsed, copied three times, and met by a task: more
work than everything else that an upload is. While a long body comes, its connection is therefore read by a `Body`;
before and after it by uvicorn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from uvicorn._types import ASGIReceiveEvent, HTTPDisconnectEvent, HTTPRequestEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LEAST_BYTES = 128 * 1024
"""A body of which less is still to come is left to uvicorn."""

FIRST_BYTES, MOST_BYTES = 64 * 1024, 448 * 1024
"""Blocks double from the one to the other, so that a slow client takes little memory. Each is of whole frames.

One waits to be taken, and then the client waits; one is being written. What has been read and is nowhere else when the
process dies is therefore less than 1 MiB.
"""

LINGER_S = 0.02
"""A block that does not fill is given out all the same after so long."""


class Connection(Protocol):
    """What a `Body` needs of the connection that it reads for a while."""

    def pause_reading(self) -> None:
        """Let the client wait."""

    def resume_reading(self) -> None:
        """The opposite."""

    def body_ended(self) -> None:
        """The last byte has come: take the connection back."""

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio's protocols have it; likewise the next two."""

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Body(asyncio.BufferedProtocol):
    """The rest of the body of a request; `receive` takes the place of the request's own."""

    def __init__(self, cycle: RequestResponseCycle, connection: Connection, length: int) -> None:
        self._cycle = cycle
        self._connection = connection
        self._left = length - len(cycle.body)
        self._ready: deque[bytearray] = deque()
        self._size = FIRST_BYTES
        self._filled = len(cycle.body)
        self._block = cycle.body.ljust(-(-self._filled // FIRST_BYTES) * FIRST_BYTES, b"\0")
        self._timer: asyncio.TimerHandle | None = None
        if self._filled == len(self._block):
            self._put()
        cycle.body = bytearray()

    async def receive(self) -> ASGIReceiveEvent:
        """The next block, as ASGI has it; what came before a cut comes before the disconnect."""
        cycle = self._cycle
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        while not cycle.response_complete:
            if self._ready:
                block = self._ready.popleft()
                self._connection.resume_reading()
                more = self._left > 0 or len(self._ready) > 0
                return HTTPRequestEvent(type="http.request", body=block, more_body=more)  # type: ignore[typeddict-item]
            if cycle.disconnected:
                break
            cycle.message_event.clear()
            await cycle.message_event.wait()
        return HTTPDisconnectEvent(type="http.disconnect")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: never more than the body has, for behind it another request may come."""
        if not self._block:
            self._block = bytearray(self._size)
        return memoryview(self._block)[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self._filled += nbytes
        self._left -= nbytes
        if self._cycle.response_complete:  # answered early: what comes is dropped
            self._ready.clear()
        if self._filled == len(self._block):
            self._size = min(2 * self._size, MOST_BYTES)
            self._put()
        elif self._left and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._put)
        if self._left == 0:
            self._put()
            self._connection.body_ended()
        elif self._ready:
            self._connection.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it has sent is not."""
        self._put()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Not for us."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Not for us."""
        self._connection.resume_writing()

    def _put(self) -> None:
        """Give out what there is of a block."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._filled and not self._cycle.response_complete:
            # The loop may still hold the buffer: it cannot be made shorter.
            self._ready.append(self._block if self._filled == len(self._block) else self._block[: self._filled])
            self._cycle.message_event.set()
        self._block, self._filled = bytearray(), 0
