"""Those who follow a feed of events live: each new batch is encoded once and written to all of them.

A listener that has everything costs no work of its own until there is more: it has no queue and no timer, its response
merely waits for its client to leave. Whoever's connection is full is taken out, and catches up as quickly as its client
reads (see `sse`); so a client that stands still holds what its socket holds, and no other one up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Generic, Protocol, TypeVar

from service.domain.event import Event, Position

Place = TypeVar("Place", int, Position)

Form = Callable[[Sequence[Event]], bytes]
"""Events as they go over the wire; nothing for those that are not wanted. Forms that are equal are encoded once."""

SLICE = 250
"""Listeners that are told before the event loop may turn: what is written goes out then."""

PING = b": ping\n\n"
TICKS = 20
"""Pings go to a part of the listeners at a time."""

_phases = count()


class Wire(Protocol):
    """The connection under a response that has begun, past ASGI."""

    def write(self, data: bytes) -> bool:
        """Send bytes as they are; buffers them if it must. False, and nothing sent, if it is clogged or gone."""

    def wake(self) -> None:
        """Let the response's `receive` return."""

    def abort(self) -> None:
        """Cut the connection."""

    @property
    def is_clogged(self) -> bool:
        """Whether more waits to be sent than is good."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""


class Listener(Generic[Place]):
    """One client of a feed: how far it is, in which form it wants events, and which is its last."""

    __slots__ = ("form", "is_done", "is_last", "is_told", "phase", "place", "wire")

    def __init__(self, wire: Wire, place: Place, form: Form, is_last: Callable[[Event], bool]) -> None:
        self.wire = wire
        self.place: Place = place
        self.form = form
        self.is_last = is_last
        self.is_done = self.is_told = False
        self.phase = next(_phases) % TICKS


class Audience(Generic[Place]):
    """The listeners of a feed that have all there is."""

    def __init__(self, place: Callable[[Event], Place]) -> None:
        self._place: Callable[[Event], Place] = place
        self._listeners: dict[Listener[Place], None] = {}

    def add(self, listener: Listener[Place]) -> None:
        """It gets what comes from now on."""
        self._listeners[listener] = None

    def discard(self, listener: Listener[Place]) -> None:
        """It gets nothing any more."""
        self._listeners.pop(listener, None)

    def __contains__(self, listener: Listener[Place]) -> bool:
        return listener in self._listeners

    def release(self) -> None:
        """Hand all of them back to their responses."""
        listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            listener.wire.wake()

    async def tell(self, batch: Sequence[Event]) -> None:
        """Write a batch to all; whoever joins meanwhile has it already."""
        span = self._place(batch[0]), self._place(batch[-1])
        chunks: dict[Form, bytes] = {}
        for number, listener in enumerate(tuple(self._listeners), 1):
            if listener in self._listeners:
                self._tell(listener, batch, span, chunks)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def ping(self, tick: int) -> None:
        """Write to those whose turn it is and who were told nothing since the last, so that proxies see that they live.

        And see who does not read.
        """
        for listener in [one for one in self._listeners if one.phase == tick]:
            if not listener.is_told or listener.wire.is_clogged:
                self._written(listener, chunked(PING))
            listener.is_told = False

    def _tell(
        self, listener: Listener[Place], batch: Sequence[Event], span: tuple[Place, Place], chunks: dict[Form, bytes]
    ) -> None:
        first, last = span
        if listener.place < first:
            chunk = chunks.get(listener.form)
            if chunk is None:
                chunk = chunks[listener.form] = chunked(listener.form(batch))
        else:
            chunk = chunked(listener.form([event for event in batch if self._place(event) > listener.place]))
        if chunk:
            if not self._written(listener, chunk):
                return
            listener.is_told = True
        if listener.place < last:
            listener.place = last
        if listener.is_last(batch[-1]):
            listener.is_done = True
            self._let_go(listener)

    def _written(self, listener: Listener[Place], chunk: bytes) -> bool:
        """Whether a chunk is on its way; else its response sees to it: the client is gone, or does not read."""
        if listener.wire.write(chunk):
            return True
        self._let_go(listener)
        return False

    def _let_go(self, listener: Listener[Place]) -> None:
        self.discard(listener)
        listener.wire.wake()


def chunked(data: bytes) -> bytes:
    """A chunk of HTTP/1.1, nothing for nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
