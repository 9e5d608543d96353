"""Resumable uploads as their clients make them: tus and the IETF's draft over httpx, cut connections over sockets."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from dataclasses import dataclass

import google_crc32c
import httpx

from tests.running import Service, superuser

TUS = {"Tus-Resumable": "1.0.0"}
TUS_BYTES = TUS | {"Content-Type": "application/offset+octet-stream"}
PARTIAL = {"Content-Type": "application/partial-upload"}


def metadata(**values: str) -> str:
    """The value of Upload-Metadata."""
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())


def checksum(algorithm: str, content: bytes) -> str:
    """The value of Upload-Checksum."""
    digest = {
        "sha1": lambda: hashlib.sha1(content, usedforsecurity=False).digest(),
        "sha256": lambda: hashlib.sha256(content).digest(),
        "crc32c": lambda: google_crc32c.value(content).to_bytes(4, "big"),
    }[algorithm]()
    return f"{algorithm} {b64encode(digest).decode()}"


async def tus_created(client: httpx.AsyncClient, size: int | None, path: str = "/v1/uploads", **headers: str) -> str:
    """The place of a new upload; without a size it is deferred. `_` in names of headers stand for `-`."""
    length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await client.post(path, headers=TUS | length | more)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


async def tus_patched(client: httpx.AsyncClient, place: str, at: int, content: bytes, **headers: str) -> httpx.Response:
    """The answer to bytes at an offset."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(place, headers=TUS_BYTES | {"Upload-Offset": str(at)} | more, content=content)


async def tus_offset(client: httpx.AsyncClient, place: str) -> int:
    """How much has come."""
    answer = await client.head(place, headers=TUS)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["Upload-Offset"])


@dataclass(slots=True)
class Wire:
    """A connection of the test's own, on which a request is cut, or never ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, timeout_s: float = 10) -> str:
        """Status line and headers of the next answer, an interim one too."""
        async with asyncio.timeout(timeout_s):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    def cut(self) -> None:
        """As a broken line does it, without a goodbye."""
        self.writer.transport.abort()


async def wire(service: Service, method: str, path: str, headers: dict[str, str]) -> Wire:
    """Send the head of a request; the body is up to the test."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = {"Host": host, "Authorization": f"Bearer {service.key}"} | headers
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection = Wire(reader, writer)
    await connection.send(f"{head}\r\n".encode())
    return connection


async def usage_of(service: Service, account: str = "dev") -> tuple[int, int]:
    """Bytes and uploads on their way that are counted against an account's quota."""
    async with superuser(service.database_url) as db:
        row = await db.fetchrow(
            "select bytes, open from upload_usage join account on account.id = account_id where name = $1", account
        )
    return (0, 0) if row is None else (row["bytes"], row["open"])
