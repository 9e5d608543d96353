"""Uploads on the local disk: written to `<id>.part`, synced, then renamed to `<id>`.

A file under its final name is complete and durable. Nothing here knows accounts or rows: a file whose row was never
written is an orphan, and the sweep deletes it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import aiofiles
import aiofiles.os

from service.domain.errors import InputError, TooLarge, Transient

T = TypeVar("T")

WRITE_BYTES = 1024 * 1024
"""Received pieces are gathered to this size before a thread writes them."""

SYNC_BYTES = 32 * 1024 * 1024
"""After so much the disk is asked to keep up, so that the last sync is short and a huge file fills no memory."""

PART = ".part"

MARK = ".millrace"
"""The file that says whose the folder is. A mount that is missing has none."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that is complete and durable."""

    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the folder of uploads; `partial` when it never became complete."""

    upload_id: UUID
    path: Path
    partial: bool


class LocalFiles:
    """Files of uploads in one folder, written by a bounded pool of threads of its own."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, upload_id: UUID) -> Path:
        """Where the complete file of an upload is."""
        return self._folder / str(upload_id)

    async def receive(self, upload_id: UUID, body: AsyncIterable[bytes], max_bytes: int) -> Received:
        """Store a body under `upload_id`. Leaves nothing behind when it raises: InputError, TooLarge, Transient."""
        part = self.path(upload_id).with_suffix(PART)
        try:
            received = await self._write(part, body, max_bytes)
            await self._run(self._publish, part, self.path(upload_id))
            return received
        except BaseException as error:
            await self.remove(part)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Transient("disk_full", "There is no space left to store this file.", retry_after_s=60) from error
            raise

    async def remove(self, path: Path) -> bool:
        """Delete a file if it is there; whether it was."""
        try:
            await aiofiles.os.remove(path, executor=self._threads)
        except FileNotFoundError:
            return False
        return True

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the uploads that have no complete file here."""
        return await self._run(lambda: [upload_id for upload_id in upload_ids if not self.path(upload_id).exists()])

    async def mark(self) -> UUID | None:
        """What `set_mark` wrote, None if there is none. One that is damaged is the nil UUID, nobody's."""
        return await self._run(self._read_mark)

    async def set_mark(self, mark: UUID) -> None:
        """Write durably which database the files here belong to."""
        await self._run(self._write_mark, mark)

    async def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[Found]]:
        """Files last written longer ago than `age_s`, in batches."""
        moment = await self._run(self._now) - age_s
        names = await self._run(os.listdir, self._folder)
        for start in range(0, len(names), batch):
            yield await self._run(self._old_ones, names[start : start + batch], moment)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    async def _write(self, part: Path, body: AsyncIterable[bytes], max_bytes: int) -> Received:
        digest, size, unsynced = hashlib.sha256(), 0, 0
        async with aiofiles.open(part, "xb", buffering=0, executor=self._threads) as file:
            written: asyncio.Future[None] = done()
            synced: asyncio.Future[None] = done()
            try:
                async for block in gathered(body):
                    size += len(block)
                    if size > max_bytes:
                        raise too_large(max_bytes)
                    await written
                    written = self._run(_append, file.fileno(), block, digest)  # while the next block arrives
                    unsynced += len(block)
                    if unsynced >= SYNC_BYTES and synced.done():
                        synced.result()
                        synced, unsynced = self._run(_sync_and_forget, file.fileno()), 0
            finally:
                await asyncio.gather(written, synced)
            if size == 0:
                raise InputError("file_empty", "The file is empty.", suggestion="Send a file with content.")
            await self._run(os.fsync, file.fileno())
        return Received(size, digest.digest())

    def _publish(self, part: Path, final: Path) -> None:
        part.rename(final)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a power cut may forget the new name
        finally:
            os.close(folder)

    def _read_mark(self) -> UUID | None:
        try:
            return UUID((self._folder / MARK).read_text("ascii").strip())
        except FileNotFoundError:
            return None
        except ValueError:
            return UUID(int=0)

    def _write_mark(self, mark: UUID) -> None:
        part = self._folder / f"{MARK}-{uuid4()}"
        with part.open("x") as file:
            file.write(f"{mark}\n")
            file.flush()
            os.fsync(file.fileno())
        self._publish(part, self._folder / MARK)

    def _now(self) -> float:
        """The time by the clock that stamps the files; this process's own may be hours off."""
        with tempfile.TemporaryFile(dir=self._folder) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def _old_ones(self, names: list[str], moment: float) -> list[Found]:
        old = []
        for name in names:
            path = self._folder / name
            with suppress(FileNotFoundError, ValueError):
                if path.stat().st_mtime < moment:
                    old.append(Found(UUID(path.stem), path, path.suffix == PART))
        return old

    def _run(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


async def gathered(body: AsyncIterable[bytes]) -> AsyncIterator[bytearray]:
    """The same bytes in blocks of about WRITE_BYTES: a thread switch per packet would cost more than the write."""
    block = bytearray()
    async for piece in body:
        block += piece
        if len(block) >= WRITE_BYTES:
            yield block
            block = bytearray()
    if block:
        yield block


def done() -> asyncio.Future[None]:
    """Work that needs no waiting for."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def too_large(max_bytes: int) -> TooLarge:
    """The file is over the limit."""
    return TooLarge(
        "too_large",
        f"The file is larger than the {max_bytes} bytes that are accepted here.",
        suggestion="Split the file, or raise MILLRACE_MAX_UPLOAD_BYTES.",
    )


def _append(descriptor: int, block: bytearray, digest: hashlib._Hash) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
    digest.update(block)


def _sync_and_forget(descriptor: int) -> None:
    os.fdatasync(descriptor)
    if hasattr(os, "posix_fadvise"):  # the page cache is better used by the database; reading back is quick
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
