"""Files in a folder: the part is renamed to the id of its upload. A file under that name is complete and durable."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import aiofiles
import aiofiles.os

from service.files.masters import sync_folder
from service.files.stores import MARK, mark_of
from service.files.threads import Threads


class LocalStore:
    """Complete files in one folder, where parts grow too."""

    def __init__(self, folder: Path, threads: Threads) -> None:
        self._folder = folder
        self._threads = threads

    def path(self, upload_id: UUID) -> Path:
        """Where the complete file of an upload is."""
        return self._folder / str(upload_id)

    async def keep(self, upload_id: UUID, part: Path) -> None:
        """Rename, durably."""
        await self._threads.run(publish, part, self.path(upload_id))

    @asynccontextmanager
    async def open(self, upload_id: UUID) -> AsyncGenerator[LocalFile, None]:
        """A file, which stays readable while this lasts even if it is removed."""
        descriptor = await self._threads.run(os.open, self.path(upload_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield LocalFile(descriptor, os.fstat(descriptor).st_size, self._threads)
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def local(self, upload_id: UUID) -> AsyncGenerator[Path, None]:
        """The file itself."""
        path = self.path(upload_id).resolve()
        await aiofiles.os.stat(path, executor=self._threads.pool)
        yield path

    async def remove(self, upload_id: UUID) -> bool:
        """Delete a file if it is there; whether it was."""
        try:
            await aiofiles.os.remove(self.path(upload_id), executor=self._threads.pool)
        except FileNotFoundError:
            return False
        return True

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those that have no file here."""
        return await self._threads.run(
            lambda: [upload_id for upload_id in upload_ids if not self.path(upload_id).exists()]
        )

    async def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[UUID]]:
        """Files last written longer ago than that."""
        async for found in untouched_for(self._folder, "", age_s, batch, self._threads):
            yield found

    async def mark(self) -> UUID | None:
        """What `set_mark` wrote."""
        try:
            path = self._folder / MARK
            async with aiofiles.open(path, encoding="ascii", errors="replace", executor=self._threads.pool) as file:
                return mark_of(await file.read())
        except FileNotFoundError:
            return None

    async def set_mark(self, mark: UUID) -> None:
        """Write it durably."""
        await self._threads.run(self._write_mark, mark)

    def _write_mark(self, mark: UUID) -> None:
        draft = self._folder / f"{MARK}-{uuid4()}"
        with draft.open("x") as file:
            file.write(f"{mark}\n")
            file.flush()
            os.fsync(file.fileno())
        publish(draft, self._folder / MARK)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An open file."""

    descriptor: int
    size: int
    threads: Threads

    async def get(self, start: int, stop: int) -> bytes:
        """Bytes of it."""
        return await self.threads.run(read_at, self.descriptor, start, stop)


def read_at(descriptor: int, start: int, stop: int) -> bytes:
    """The bytes from `start` to before `stop`; fewer where the file ends."""
    data = os.pread(descriptor, stop - start, start)
    while 0 < len(data) < stop - start:
        more = os.pread(descriptor, stop - start - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def publish(part: Path, final: Path) -> None:
    """Rename, so that even a power cut does not forget it."""
    part.rename(final)
    sync_folder(final.parent)


async def untouched_for(
    folder: Path, suffix: str, age_s: float, batch: int, threads: Threads
) -> AsyncIterator[list[UUID]]:
    """Uploads with a file of that suffix here that was last written longer ago than `age_s`, in batches."""
    moment = await threads.run(_now, folder) - age_s
    names = [name for name in await threads.run(os.listdir, folder) if Path(name).suffix == suffix]
    for start in range(0, len(names), batch):
        yield await threads.run(_old_ones, folder, names[start : start + batch], moment)


def _now(folder: Path) -> float:
    """The time by the clock that stamps the files; this process's own may be hours off."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def _old_ones(folder: Path, names: Sequence[str], moment: float) -> list[UUID]:
    old = []
    for name in names:
        path = folder / name
        with suppress(FileNotFoundError, ValueError):
            if path.stat().st_mtime < moment:
                old.append(UUID(path.stem))
    return old
