"""Request bodies: read under a deadline, and read on a little when a request is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.actions.uploads import Body
from service.domain.errors import InputError
from service.files.growing import too_large

DRAIN_BYTES = 16 * 1024 * 1024
DRAIN_S = 2.0

_FILENAME = re.compile(r"""filename\*=(?:utf-8|UTF-8)''([^;]+)|filename="((?:[^"\\]|\\.)*)"|filename=([^;\s]+)""")


def body_of(request: Request, *, max_bytes: int, idle_s: float) -> Body:
    """The request's body as a file on its way in. Raises TooLarge before any byte flows if the length says so."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    name = request.query_params.get("name") or _file_name(request.headers.get("content-disposition", ""))
    return Body(name, request.headers.get("content-type"), _timed(request, idle_s))


async def _timed(request: Request, idle_s: float) -> AsyncIterator[bytes]:
    pieces = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(idle_s):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise InputError(
                "upload_timeout",
                f"Nothing arrived for {idle_s:g} seconds, so the upload was dropped.",
                suggestion="Send the file again over a steadier connection.",
            ) from None
        yield piece


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
