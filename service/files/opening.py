"""The bytes of uploads as `port.Files` says: parts that grow on the local disk, and a store for what is complete."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from uuid import UUID

from service.config import Settings
from service.domain.errors import InputError, NotFound, Transient
from service.files import reading
from service.files.frames import FRAME_BYTES
from service.files.growing import Growth, unbroken
from service.files.local import LocalStore, untouched_for
from service.files.masters import Masters, kept_keys, parsed
from service.files.parts import PART, TAIL, Part, remove_part
from service.files.port import Digest, Durable, File, Found, Received
from service.files.stores import Store, storage_unavailable
from service.files.threads import Threads

DIGESTS = 1000
"""So many uploads are hashed on where they stopped; another one is read again when it is complete."""


class NotConfigured(Exception):
    """Settings or the file of master keys do not do; the text says which and why."""


def open_files(settings: Settings) -> StoredFiles:
    """Files as the settings say. Raises OSError, NotConfigured."""
    threads, folder = Threads(settings.upload_threads), settings.files_dir
    folder.mkdir(parents=True, exist_ok=True)
    masters = masters_of(settings)
    return StoredFiles(folder, _store_of(settings, threads), masters, threads, packs=settings.pack_files)


def _store_of(settings: Settings, threads: Threads) -> Store:
    if not settings.store_url:
        return LocalStore(settings.files_dir, threads)
    from service.files.objects import ObjectStore, remote  # heavy, and most installations have none

    try:
        store = remote(settings.store_url, settings.store_options, settings.store_timeout_s)
    except ValueError as error:
        raise NotConfigured(f"MILLRACE_STORE_URL, MILLRACE_STORE_OPTIONS: {error}") from error
    return ObjectStore(store, settings.files_dir / "copies", threads)


def masters_of(settings: Settings) -> Masters:
    """The master keys that are set, or else those in the data folder. Raises OSError, NotConfigured."""
    try:
        return Masters(parsed(settings.master_keys) if settings.master_keys else kept_keys(settings.keys_file))
    except ValueError as error:
        where = "MILLRACE_MASTER_KEYS" if settings.master_keys else settings.keys_file
        raise NotConfigured(f"{where}: {error}.") from error


class StoredFiles:
    """Implements `port.Files`: see there for what each call does."""

    def __init__(self, parts: Path, store: Store, masters: Masters, threads: Threads, *, packs: bool = False) -> None:
        self._parts = parts
        self._store = store
        self._masters = masters
        self._threads = threads
        self._packs = packs
        self._digests: OrderedDict[UUID, tuple[int, hashlib._Hash]] = OrderedDict()

    def new(self, upload_id: UUID) -> File:
        """A file to be."""
        return self._masters.new(upload_id, packed=self._packs)

    async def receive(self, upload_id: UUID, body: AsyncIterable[bytes], max_bytes: int) -> Received:
        """Keep a whole body in one pass."""
        file = self.new(upload_id)
        try:
            async with self._part(file, make=True) as part:
                growth = Growth(part, hashlib.sha256(), max_bytes, None, self._threads)
                await growth.take(body)
                return await self._complete(file, part, growth.digest)
        except Transient:
            with suppress(OSError):
                await self._threads.run(remove_part, self._parts, upload_id)
            raise  # a store that refuses has nothing, and is not asked again
        except BaseException:
            await self.remove(upload_id)
            raise

    async def append(
        self,
        file: File,
        at: int,
        body: AsyncIterable[bytes],
        *,
        max_bytes: int,
        durable: Durable | None = None,
        provisional: bool = False,
    ) -> int:
        """Cut the part back to `at`, add what the body brings."""
        async with self._part(file, make=at == 0) as part:
            await unbroken(self._threads.run(part.cut, at, held=provisional))
            growth = Growth(part, self._digest(file, at), max_bytes, durable, self._threads)
            try:
                await growth.take(body)
            finally:
                await growth.settle(at if provisional else None)
                self._remember(file, growth)
            return growth.size

    async def recover(self, file: File, at: int) -> int:
        """The offset to go on from after a process died."""
        async with self._part(file, make=at == 0) as part:
            return await unbroken(self._threads.run(part.recover, at))

    async def finish(self, file: File, size_bytes: int) -> Received:
        """Keep the part."""
        try:
            async with self._part(file, make=False) as part:
                await unbroken(self._threads.run(part.cut, size_bytes, held=False))
                digest = self._digest(file, size_bytes)
                if digest is None:
                    digest = await unbroken(self._threads.run(hashed, part))
                return await self._complete(file, part, digest)
        except NotFound:  # kept already, and whoever did it died before it could say so
            digest = hashlib.sha256()
            async with aclosing(self.read(file, size_bytes)) as pieces:
                async for piece in pieces:
                    await self._threads.run(digest.update, piece)
            return Received(file, size_bytes, digest.digest())

    async def concat(self, file: File, parts: Sequence[tuple[File, int]], max_bytes: int) -> Received:
        """Keep what these parts hold."""
        async with self._part(file, make=True) as part:
            await unbroken(self._threads.run(part.cut, 0, held=False))
            growth = Growth(part, hashlib.sha256(), max_bytes, None, self._threads)
            async with aclosing(self._joined(parts)) as body:
                await growth.take(body)
            return await self._complete(file, part, growth.digest)

    async def remove(self, upload_id: UUID) -> bool:
        """Delete all there is of an upload."""
        self._digests.pop(upload_id, None)
        with faults():
            had_part = await self._threads.run(remove_part, self._parts, upload_id)
            return await self._store.remove(upload_id) or had_part

    async def read(
        self, file: File, size_bytes: int, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The content of a kept file."""
        stop = size_bytes if stop is None else min(stop, size_bytes)
        with faults(file):
            async with self._store.open(file.upload_id) as kept:
                if file.seal is None:
                    pieces = reading.plain(kept, size_bytes, start, stop)
                else:
                    pieces = reading.opened(kept, self._masters.frames(file), size_bytes, start, stop)
                async with aclosing(pieces):
                    async for piece in pieces:
                        yield piece

    @asynccontextmanager
    async def source(self, file: File, size_bytes: int) -> AsyncGenerator[Mapping[str, object], None]:
        """What a child process needs to read a kept file."""
        frames = None if file.seal is None else self._masters.frames(file)
        with faults(file):
            context = self._store.local(file.upload_id)
            path = await context.__aenter__()
        try:
            yield {
                "path": str(path),
                "size": size_bytes,
                "upload_id": str(file.upload_id),
                "key": frames and frames.key.hex(),
                "packed": frames is not None and frames.packed,
            }
        finally:
            await context.__aexit__(None, None, None)

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the uploads that have no kept file."""
        with faults():
            return await self._store.missing(upload_ids)

    async def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[Found]]:
        """What was last written longer ago than `age_s`."""
        with faults():
            for suffix in (PART, TAIL):
                async for ids in untouched_for(self._parts, suffix, age_s, batch, self._threads):
                    yield [Found(upload_id, partial=True) for upload_id in ids]
            async for ids in self._store.untouched_for(age_s, batch):
                yield [Found(upload_id, partial=False) for upload_id in ids]

    async def mark(self) -> UUID | None:
        """What `set_mark` wrote."""
        with faults():
            return await self._store.mark()

    async def set_mark(self, mark: UUID) -> None:
        """Write which database the files here belong to."""
        with faults():
            await self._store.set_mark(mark)

    @property
    def master(self) -> bytes:
        """How seals name the current master key."""
        return self._masters.current

    def rewrapped(self, file: File) -> bytes | None:
        """The file's seal under the current master key."""
        return self._masters.rewrapped(file)

    async def feed(self, digest: Digest, content: bytes | bytearray) -> None:
        """Let a digest take more."""
        if len(content) < FRAME_BYTES:
            digest.update(bytes(content))  # to change threads would take as long
        else:
            await self._threads.run(lambda: digest.update(bytes(content)))

    async def free_bytes(self) -> int:
        """How much more fits on the disk that parts grow on."""
        with faults():
            disk = await self._threads.run(os.statvfs, self._parts)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    @asynccontextmanager
    async def _part(self, file: File, *, make: bool) -> AsyncGenerator[Part, None]:
        part = Part(self._parts, self._masters.frames(file))
        with faults(file):
            try:
                await unbroken(self._threads.run(part.open, make=make))
                yield part
            finally:
                part.close()

    async def _complete(self, file: File, part: Part, digest: hashlib._Hash | None) -> Received:
        size, upload_id = part.size, file.upload_id
        if size == 0:
            raise InputError("file_empty", "The file is empty.", suggestion="Send a file with content.")
        assert digest is not None
        await unbroken(self._threads.run(part.end))
        await self._store.keep(upload_id, part.path)
        await self._threads.run(remove_part, self._parts, upload_id)
        return Received(file, size, digest.digest())

    async def _joined(self, parts: Sequence[tuple[File, int]]) -> AsyncGenerator[bytes, None]:
        for file, size_bytes in parts:
            async with self._part(file, make=False) as part:
                await unbroken(self._threads.run(part.cut, size_bytes, held=False))
                for at in range(0, size_bytes, reading.PIECE_BYTES):
                    yield await unbroken(self._threads.run(part.content, at, at + reading.PIECE_BYTES))

    def _digest(self, file: File, at: int) -> hashlib._Hash | None:
        """That of the content before `at`, if it is known."""
        known_at, digest = self._digests.pop(file.upload_id, (0, None))
        if at == 0:
            return hashlib.sha256()
        return digest if known_at == at else None

    def _remember(self, file: File, growth: Growth) -> None:
        if growth.digest is not None:
            self._digests[file.upload_id] = growth.size, growth.digest
            while len(self._digests) > DIGESTS:
                self._digests.popitem(last=False)


def hashed(part: Part) -> hashlib._Hash:
    """The digest of a part, read from the disk."""
    digest = hashlib.sha256()
    for at in range(0, part.size, reading.PIECE_BYTES):
        digest.update(part.content(at, at + reading.PIECE_BYTES))
    return digest


@contextmanager
def faults(file: File | None = None) -> Iterator[None]:
    """What a disk or a store has to say, as an error of ours. Raises Transient, NotFound."""
    try:
        yield
    except FileNotFoundError as error:
        if file is None:
            raise storage_unavailable() from error
        raise NotFound("upload", file.upload_id) from error
    except (ConnectionError, TimeoutError):
        raise  # of the client, not of a disk
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Transient("disk_full", "There is no space left to store this file.", retry_after_s=60) from error
        if error.errno is None:
            raise
        raise storage_unavailable() from error
