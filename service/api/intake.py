"""Request bodies: read under a deadline, and read on a little when a request is refused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.metering import Meters
from service.api.params import whole
from service.config import Settings
from service.domain.errors import InputError

GRACE_S = 30.0
"""Nobody is too slow who has been waited for less than so long."""

DRAIN_BYTES = 16 * 1024 * 1024
DRAIN_S = 2.0

_FILENAME = re.compile(r"""filename\*=(?:utf-8|UTF-8)''([^;]+)|filename="((?:[^"\\]|\\.)*)"|filename=([^;\s]+)""")


def content_of(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The request's body, under deadlines. Raises InputError: a coding that is not undone here."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise InputError(
            "unsupported_coding",
            f"A body in the coding {coding!r} is not taken.",
            suggestion="Send the file as it is, without Content-Encoding.",
        )
    return _timed(request, settings.upload_idle_s, settings.upload_min_rate)


def length_of(request: Request) -> int | None:
    """How many bytes the body has, if that is told."""
    return whole(request.headers.get("content-length", ""))


def name_of(request: Request) -> str | None:
    """What the client calls the file: by the path, the query or Content-Disposition."""
    return (
        request.query_params.get("name")
        or request.path_params.get("name")
        or _file_name(request.headers.get("content-disposition", ""))
    )


async def _timed(request: Request, idle_s: float, min_rate: int) -> AsyncIterator[bytes]:
    pieces, waited_s, size = aiter(request.stream()), 0.0, 0
    meters: Meters = request.app.state.meters
    while True:
        since = time.monotonic()
        try:
            async with asyncio.timeout(idle_s):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _dropped(f"Nothing arrived for {idle_s:g} seconds, so the upload was dropped.") from None
        waited_s += time.monotonic() - since  # for the client alone, not for our disk
        size += len(piece)
        meters.upload_bytes += len(piece)
        if waited_s > GRACE_S and size < min_rate * waited_s:
            raise _dropped(f"Less than {min_rate} bytes a second arrived, so the upload was dropped.")
        yield piece


def _dropped(message: str) -> InputError:
    return InputError("upload_timeout", message, suggestion="Send the file again over a steadier connection.")


def _file_name(disposition: str) -> str | None:
    if not (found := _FILENAME.search(disposition)):
        return None
    encoded, in_quotes, bare = found.groups()
    return unquote(encoded) if encoded else re.sub(r"\\(.)", r"\1", in_quotes) if in_quotes else bare


class DrainRefused:
    """ASGI middleware: a refusal is sent once the client had a moment to finish sending.

    Many clients read the answer only after their whole body is out; closing on them earlier would show them a broken
    pipe instead of the reason. A client that waits for `100 Continue` is answered at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        body = _Rest(receive, waits_for_us="100-continue" in Headers(scope=scope).get("expect", "").lower())

        async def late_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await body.drain()
            await send(message)

        await self._app(scope, body.receive, late_send)


class _Rest:
    """What is still to come of a request body."""

    def __init__(self, receive: Receive, *, waits_for_us: bool) -> None:
        self._receive = receive
        self._coming = not waits_for_us

    async def receive(self) -> Message:
        message = await self._receive()
        self._coming = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drain(self) -> None:
        seen = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._coming and seen < DRAIN_BYTES:
                    seen += len((await self.receive()).get("body", b""))
