"""Those who follow a feed of events live: each new batch is encoded once and written to all of them.

A listener that has everything costs no work of its own until there is more: it has no queue and no timer, its response
merely waits for its client to leave. Whoever's connection is full is taken out, and catches up as quickly as its client
reads (see `sse`); so a client that stands still holds what its socket holds, and no other one up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Generic, TypeVar

from service.domain.event import ENDING, Event, Position
from service.wires import Wire, write_all

Place = TypeVar("Place", int, Position)

Form = Callable[[Sequence[Event]], bytes]
"""Events as they go over the wire; nothing for those that are not wanted. Forms that are equal are encoded once."""

SLICE = 250
"""Listeners that are told before the event loop may turn: what is written goes out then."""

PING = b": ping\n\n"
TICKS = 20
"""Pings go to a part of the listeners at a time."""

_phases = count()


class Listener(Generic[Place]):
    """One client of a feed: how far it is, in which form it wants events, and which of those that may end it does."""

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
        chunks: dict[Form, bytes] = {}
        everybody = tuple(self._listeners)
        for start in range(0, len(everybody), SLICE):
            some = [one for one in everybody[start : start + SLICE] if one in self._listeners]
            self._tell(some, batch, chunks)
            await asyncio.sleep(0)

    def ping(self, tick: int) -> None:
        """Write to those whose turn it is and who were told nothing since the last, so that proxies see that they live.

        And see who does not read.
        """
        due = [one for one in self._listeners if one.phase == tick]
        silent = [one for one in due if not one.is_told or one.wire.is_clogged]
        self._written(silent, [chunked(PING)] * len(silent))
        for one in due:
            one.is_told = False

    def _tell(self, some: Sequence[Listener[Place]], batch: Sequence[Event], chunks: dict[Form, bytes]) -> None:
        first, last = self._place(batch[0]), self._place(batch[-1])
        told, pieces = list[Listener[Place]](), list[bytes]()
        for one in some:
            piece = chunks.get(one.form) if one.place < first else self._rest(one, batch)
            if piece is None:
                piece = chunks[one.form] = chunked(one.form(batch))
            if piece:
                told.append(one)
                pieces.append(piece)
        refused = self._written(told, pieces)
        for one in told:
            one.is_told = True
        for one in some:
            if one.place < last and one not in refused:
                one.place = last
        if batch[-1].type in ENDING:
            self._end([one for one in some if one not in refused], batch[-1])

    def _rest(self, one: Listener[Place], batch: Sequence[Event]) -> bytes:
        """What a listener that had read ahead has not heard of a batch."""
        return chunked(one.form([event for event in batch if self._place(event) > one.place]))

    def _written(self, told: Sequence[Listener[Place]], pieces: Sequence[bytes]) -> Collection[Listener[Place]]:
        """Write to each its piece; those whose responses must see to them: the client is gone, or does not read."""
        refused = {told[place] for place in write_all([one.wire for one in told], pieces)}
        for one in refused:
            self._let_go(one)
        return refused

    def _end(self, listeners: Sequence[Listener[Place]], event: Event) -> None:
        for one in listeners:
            if one.is_last(event):
                one.is_done = True
                self._let_go(one)

    def _let_go(self, listener: Listener[Place]) -> None:
        self.discard(listener)
        listener.wire.wake()


def chunked(data: bytes) -> bytes:
    """A chunk of HTTP/1.1, nothing for nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
