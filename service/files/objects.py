"""Files in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage, all by obstore.

A part grows on the local disk and is sent when it is complete, in pieces at a time; the store shows it whole or not at
all. A child process reads a copy on the local disk, sealed as it is in the store.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import from_url

from service.files.stores import MARK, mark_of, storage_unavailable
from service.files.threads import Threads

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Remote

log = structlog.get_logger()

PIECE_BYTES = 8 * 1024 * 1024
MOST_PIECES = 9_000
"""S3 takes 10,000 pieces of one file."""

AT_ONCE = 4
LOOKS_AT_ONCE = 16
COPY_KEPT_S = 3600
RETRIES = 3


def remote(url: str, options: Mapping[str, str], timeout_s: float) -> Remote:
    """A store by its address, such as `s3://bucket/folder`; what `options` lack comes from the environment (AWS_…).

    Raises ValueError: no such kind of store, or an option it does not know.
    """
    try:
        found: Remote = from_url(
            url,
            config=dict(options),  # type: ignore[call-overload]  # each kind of store has its own
            client_options={
                "allow_http": True,  # who configures an address without TLS means it
                "connect_timeout": timedelta(seconds=min(timeout_s, 5)),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=2 * timeout_s)},
        )
        return found
    except BaseError as error:
        raise ValueError(f"{url}: {str(error).splitlines()[0]}") from error


class ObjectStore:
    """Complete files in an object store; `copies` is a local folder for what children read."""

    def __init__(self, store: Remote, copies: Path, threads: Threads) -> None:
        self._store = store
        self._copies = copies
        self._threads = threads
        copies.mkdir(parents=True, exist_ok=True)

    async def keep(self, upload_id: UUID, part: Path) -> None:
        """Send it, and make sure that all of it is there."""
        size, name = part.stat().st_size, str(upload_id)
        pieces = max(PIECE_BYTES, size // MOST_PIECES)
        with refusals("keep"):
            try:
                await obstore.put_async(self._store, name, part, chunk_size=pieces, max_concurrency=AT_ONCE)
                kept = (await obstore.head_async(self._store, name))["size"]
            except FileNotFoundError as error:  # the bucket is not there
                raise storage_unavailable() from error
        if kept != size:
            raise storage_unavailable()
        await self._threads.run(part.unlink)

    @asynccontextmanager
    async def open(self, upload_id: UUID) -> AsyncGenerator[RemoteFile, None]:
        """A file; if it is removed meanwhile, reading ends with FileNotFoundError."""
        with refusals("open"):
            found = await obstore.head_async(self._store, str(upload_id))
        yield RemoteFile(self._store, str(upload_id), found["size"])

    @asynccontextmanager
    async def local(self, upload_id: UUID) -> AsyncGenerator[Path, None]:
        """A copy, sealed as it is."""
        copy = (self._copies / str(uuid4())).resolve()
        try:
            async with self.open(upload_id) as kept:
                await self._copy(kept, copy)
            yield copy
        finally:
            with suppress(FileNotFoundError):
                await self._threads.run(copy.unlink)

    async def remove(self, upload_id: UUID) -> bool:
        """Delete a file if it is there; whether it was."""
        with refusals("remove"):
            try:
                await obstore.head_async(self._store, str(upload_id))
                await obstore.delete_async(self._store, str(upload_id))
            except FileNotFoundError:
                return False
        return True

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those that have no file here."""
        gate = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def is_missing(upload_id: UUID) -> bool:
            async with gate:
                try:
                    await obstore.head_async(self._store, str(upload_id))
                except FileNotFoundError:
                    return True
            return False

        with refusals("missing"):
            found = await asyncio.gather(*map(is_missing, upload_ids))
        return [upload_id for upload_id, gone in zip(upload_ids, found, strict=True) if gone]

    async def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[UUID]]:
        """Files last written longer ago than that; on the way, copies go that a dead process has left."""
        await self._threads.run(self._remove_old_copies)
        with refusals("list"):
            moment = await self._now() - age_s
            async for found in obstore.list(self._store, chunk_size=batch):
                yield [
                    upload_id
                    for entry in found
                    if entry["last_modified"].timestamp() < moment and (upload_id := _id_of(entry["path"]))
                ]

    async def mark(self) -> UUID | None:
        """What `set_mark` wrote."""
        with refusals("mark"):
            try:
                found = await (await obstore.get_async(self._store, MARK)).bytes_async()
            except FileNotFoundError:
                return None
        return mark_of(bytes(found).decode("ascii", "replace"))

    async def set_mark(self, mark: UUID) -> None:
        """Write it."""
        with refusals("set_mark"):
            await obstore.put_async(self._store, MARK, f"{mark}\n".encode())

    async def _copy(self, kept: RemoteFile, copy: Path) -> None:
        descriptor = await self._threads.run(os.open, copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        gate = asyncio.Semaphore(AT_ONCE)

        async def fetch(start: int) -> None:
            async with gate:
                data = await kept.piece(start, min(start + PIECE_BYTES, kept.size))
                await asyncio.shield(self._threads.run(os.pwrite, descriptor, data, start))

        try:
            async with asyncio.TaskGroup() as group:
                for start in range(0, kept.size, PIECE_BYTES):
                    group.create_task(fetch(start))
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        finally:
            os.close(descriptor)

    async def _now(self) -> float:
        """The time by the store's clock."""
        await obstore.put_async(self._store, f"{MARK}-clock", b"now")
        return (await obstore.head_async(self._store, f"{MARK}-clock"))["last_modified"].timestamp()

    def _remove_old_copies(self) -> None:
        for path in self._copies.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - COPY_KEPT_S:  # its child has opened it, or is dead
                    path.unlink()


class RemoteFile:
    """A file of a store. What is read one behind the other is fetched in large pieces."""

    def __init__(self, store: Remote, name: str, size: int) -> None:
        self.size = size
        self._store = store
        self._name = name
        self._start, self._ahead = 0, b""

    async def get(self, start: int, stop: int) -> bytes:
        """Bytes of it."""
        end = self._start + len(self._ahead)
        if not self._start <= start <= stop <= end:
            goes_on = start == end != 0
            self._ahead = await self.piece(start, min(max(stop, start + PIECE_BYTES * goes_on), self.size))
            self._start = start
        return self._ahead[start - self._start : stop - self._start]

    async def piece(self, start: int, stop: int) -> bytes:
        """Bytes of it, fetched anew."""
        if start >= stop:
            return b""
        with refusals("get"):
            return bytes(await obstore.get_range_async(self._store, self._name, start=start, end=stop))


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """What a store has to say, as an error of ours: Transient `storage_unavailable`, with the cause in the log."""
    try:
        yield
    except BaseError as error:
        log.error("storage.refused", call=what, kind=type(error).__name__, error=str(error)[:500])
        raise storage_unavailable() from error


def _id_of(path: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(path.rpartition("/")[2])
    return None
