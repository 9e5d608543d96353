"""An S3 server of its own process for tests, and a gate before it that holds up, breaks off or refuses what passes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import httpx
from botocore.config import Config

from tests.running import eventually, start

Mode = Literal["pass", "hang", "cut", "refuse"]

FORBIDDEN = b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(FORBIDDEN), FORBIDDEN)


class ObjectServer:
    """A running server. `bucket` makes a new bucket and returns what to configure for it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def options(self, url: str | None = None) -> dict[str, str]:
        """Options of a store, by another address if the server is to be reached by a gate."""
        return {
            "endpoint": url or self.url,
            "region": "us-east-1",
            "access_key_id": "tests",
            "secret_access_key": "secret",
        }

    def client(self) -> boto3.client:
        """An administrator's own client."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="secret",
            config=Config(s3={"addressing_style": "path"}),
        )

    async def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"tests-{uuid4()}"
        await asyncio.to_thread(lambda: self.client().create_bucket(Bucket=name))
        return name

    def settings(self, bucket: str, url: str | None = None) -> Mapping[str, object]:
        """Settings of a service that keeps its files in that bucket."""
        return {"store_url": f"s3://{bucket}/files", "store_options": json.dumps(self.options(url))}


@asynccontextmanager
async def object_server(folder: Path) -> AsyncIterator[ObjectServer]:
    """Start moto's server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await start("moto", ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {}, folder / "moto.log")
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{url}/moto-api/")).status_code == 200
        return False

    try:
        await eventually(answers)
        yield ObjectServer(url)
    finally:
        await process.discard()


class Gate:
    """Passes bytes on. From `after` bytes of requests on it does what `mode` says, to every connection."""

    def __init__(self, behind: str) -> None:
        self._behind = urlsplit(behind)
        self._tasks: set[asyncio.Task[None]] = set()
        self.mode: Mode = "pass"
        self.after = 0
        self.struck = asyncio.Event()
        self.url = ""

    def set(self, mode: Mode, after: int = 0) -> None:
        """Do that, once so many more bytes have come from clients."""
        self.mode, self.after = mode, after
        self.struck.clear()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Gate]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        server, to_server = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(client, to_server, to_client))
                group.create_task(_pass(server, to_client))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            to_client.transport.abort()
            to_server.transport.abort()

    async def _requests(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, to_client: asyncio.StreamWriter
    ) -> None:
        while data := await client.read(65536):
            self.after -= len(data)
            if self.mode != "pass" and self.after < 0:
                self.struck.set()
                if self.mode == "hang":
                    await asyncio.Event().wait()
                if self.mode == "refuse":
                    to_client.write(REFUSAL)
                    await to_client.drain()
                raise ConnectionAbortedError
            to_server.write(data)
            await to_server.drain()
        raise ConnectionAbortedError


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    raise ConnectionAbortedError
