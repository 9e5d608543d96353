"""Server-Sent Events: messages, by sse-starlette, and the response that carries a feed of them, which is our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic

import structlog
from sse_starlette import ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from service.api.audience import PING, Form, Listener, Place
from service.api.streams import Feed
from service.domain.errors import Transient
from service.domain.event import Event
from service.store.database import UNREACHABLE
from service.wires import Wire

PATIENCE = 1.5
"""For so many intervals of pings a client may take nothing, behind the one that found it standing still."""

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes on what comes at once
]

log = structlog.get_logger()


def message(event: str, data: Mapping[str, Any], *, id: str | None = None, retry: int | None = None) -> bytes:
    """One message. Its data is JSON."""
    return ServerSentEvent(json.dumps(data), event=event, id=id, retry=retry, sep="\n").encode()


def pause(retry: int) -> bytes:
    """How many milliseconds a client is to wait before it connects anew."""
    return ServerSentEvent(retry=retry, sep="\n").encode()


class Gone(Exception):
    """The client has left, or was cut off."""


class EventStream(Generic[Place]):
    """A response: `first`, then every event of a feed behind `after`, up to the last one or until the service stops."""

    def __init__(
        self,
        feed: AbstractAsyncContextManager[Feed[Place]],
        first: bytes,
        after: Place,
        form: Form,
        *,
        ping_s: float,
        is_last: Callable[[Event], bool] = lambda _event: False,
        goodbye: Callable[[], bytes],
    ) -> None:
        self._feed: AbstractAsyncContextManager[Feed[Place]] = feed
        self._first = first
        self._after: Place = after
        self._form = form
        self._patience_s = PATIENCE * ping_s
        self._is_last = is_last
        self._goodbye = goodbye

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire: Wire = scope["extensions"]["millrace.wire"]()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if scope["method"] != "HEAD":
            # A database that goes away, or a client, ends the stream in the middle: clients come back.
            with suppress(Gone, Transient, *UNREACHABLE):
                await self._run(_Out(wire, receive, send, self._patience_s))
                await send({"type": "http.response.body"})
        else:
            await send({"type": "http.response.body"})

    async def _run(self, out: _Out) -> None:
        listener = Listener(out.wire, self._after, self._form, self._is_last)
        first, self._first = self._first, b""  # it may be long, and is needed once
        await out.send(first)
        del first
        async with self._feed as feed:
            try:
                await _follow(feed, listener, out)
            finally:
                feed.audience.discard(listener)
        if not listener.is_done:
            await out.send(self._goodbye())


class _Out:
    """The way to the client, as ASGI has it, and past it."""

    __slots__ = ("_patience_s", "_receive", "_send", "wire")

    def __init__(self, wire: Wire, receive: Receive, send: Send, patience_s: float) -> None:
        self.wire = wire
        self._patience_s = patience_s
        self._receive = receive
        self._send = send

    async def send(self, data: bytes) -> None:
        """Send, once what was sent before is on its way. Raises Gone, also for a client that takes nothing."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            log.info("stream.stalled")
            self.wire.abort()
            raise Gone from None
        if self.wire.is_gone:
            raise Gone

    async def wait(self) -> None:
        """Return when woken. Raises Gone."""
        heard: Message = await self._receive()
        if heard["type"] == "http.disconnect":
            raise Gone


async def _follow(feed: Feed[Place], listener: Listener[Place], out: _Out) -> None:
    """Catch up, listen live, catch up again after the connection was full; until the last event, or the end of all."""
    while not (listener.is_done or feed.is_closing):
        if batch := await feed.behind(listener.place):
            if data := listener.form(batch):
                await out.send(data)
            listener.place = feed.place(batch[-1])
            listener.is_done = listener.is_last(batch[-1])
        elif feed.join(listener):
            while listener in feed.audience:
                await out.wait()
            if out.wire.is_clogged and not listener.is_done:
                await out.send(PING)  # goes once there is room, or never
