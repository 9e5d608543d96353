"""Server-Sent Events as a client sees them, over connections that can be cut anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.running import Json, Service


@dataclass(frozen=True, slots=True)
class Message:
    """One SSE message. `id` is None where it has none."""

    event: str
    id: str | None
    text: str
    retry: str | None

    @property
    def number(self) -> int | None:
        """The id of a job's event."""
        return None if self.id is None else int(self.id)

    @property
    def data(self) -> Json:
        """What it carries."""
        return dict(json.loads(self.text))


def message(text: str) -> Message | None:
    """A message from its lines, None for a ping or what sets only the time to retry."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if line and not line.startswith(":"))
    if "data" not in fields:
        return None
    return Message(fields["event"], fields.get("id"), fields["data"], fields.get("retry"))


@asynccontextmanager
async def connected(
    service: Service, path: str, after: object = None, key: str = ""
) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """A bare connection, cut without a word at the end."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = f"Host: {host}\r\nAuthorization: Bearer {key or service.key}"
    headers += "" if after is None else f"\r\nLast-Event-ID: {after}"
    writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        yield int(head.split()[1]), reader
    finally:
        writer.transport.abort()


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """Messages as they come, out of a chunked body, until its end or the connection's."""
    text = ""
    while True:
        try:
            size = int(await reader.readline() or b"0", 16)
            text += (await reader.readexactly(size + 2))[:size].decode()
        except asyncio.IncompleteReadError:
            return
        if size == 0:
            return
        *whole, text = text.split("\n\n")
        for lines in whole:
            if found := message(lines):
                yield found
