"""An S3 server of its own process for tests, and a gate before it that holds up, breaks off or refuses what passes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import obstore

from service.files.objects import remote
from service.files.stores import MARK
from tests.running import eventually, start

USER, SECRET = "tests", "a secret of tests"

Mode = Literal["pass", "hang", "cut", "refuse"]

FORBIDDEN = b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(FORBIDDEN), FORBIDDEN)


class ObjectServer:
    """A running server, and its buckets as an administrator sees them: a bucket is a folder, an object a file in it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def options(self, url: str | None = None, secret: str = SECRET) -> dict[str, str]:
        """Options of a store, by another address if the server is to be reached by a gate."""
        return {
            "endpoint": url or self.url,
            "region": "us-east-1",
            "access_key_id": USER,
            "secret_access_key": secret,
        }

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"tests-{uuid4()}"
        (self.folder / name).mkdir()
        return name

    def objects(self, bucket: str) -> list[str]:
        """The names of what is in a bucket, but for the notes that sweeps leave there when their time comes."""
        store = remote(f"s3://{bucket}", self.options(), 30)
        names = [PurePosixPath(entry["path"]) for page in obstore.list(store) for entry in page]
        return sorted(str(name) for name in names if not name.name.startswith(MARK))

    def settings(self, bucket: str, url: str | None = None) -> Mapping[str, object]:
        """Settings of a service that keeps its files in that bucket."""
        return {"store_url": f"s3://{bucket}/files", "store_options": json.dumps(self.options(url))}


@asynccontextmanager
async def object_server(folder: Path) -> AsyncIterator[ObjectServer]:
    """Start nanio, which checks signatures, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    buckets = folder / "buckets"
    buckets.mkdir()
    command = ["-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(buckets)]
    settings = {"NANIO_ACCESS_KEY": USER, "NANIO_SECRET_KEY": SECRET}
    process = await start("nanio", [*command, "--no-access-log"], settings, folder / "nanio.log")

    async def answers() -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await eventually(answers)
        yield ObjectServer(f"http://127.0.0.1:{port}", buckets)
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
