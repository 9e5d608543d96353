"""What the rest of the service may ask of the bytes of uploads. `service.files.opening.open_files` gives one.

A file grows as a *part* on the disk of this machine, under no name that anybody reads, and is *kept* once it is
complete: in a folder or in an object store. Both are sealed: nothing is ever written in the clear. Offsets and sizes
are those of content, as the client sees it; what is on the disk is a little longer.

Nothing here knows accounts or rows. Its caller keeps the `File` of every upload (`upload.seal`) and the offset that it
was told last; a file whose row was never written is an orphan, and the sweep deletes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

Durable = Callable[[int], Awaitable[None]]
"""Told an offset each time the content before it has become durable. What it raises ends the append."""


@dataclass(frozen=True, slots=True)
class File:
    """Which file, and how it is sealed: its key, locked with the master key. None is a file from before seals.

    Without its seal a file cannot be read by anybody: to forget the seal is to destroy the file, and its backups.
    """

    upload_id: UUID
    seal: bytes | None


@dataclass(frozen=True, slots=True)
class Received:
    """A file that is complete and durable. Keep `file.seal` in its row."""

    file: File
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes of an upload that are there; `partial` if they are of its part."""

    upload_id: UUID
    partial: bool


class Digest(Protocol):
    """A digest that is fed piece by piece."""

    def update(self, data: bytes, /) -> None:
        """Take more."""

    def digest(self) -> bytes:
        """The value so far."""


class Files(Protocol):
    """The bytes of uploads.

    Every call raises Transient `disk_full`, `storage_unavailable` (refused, read-only, away) where that is the cause,
    and InputError `upload_damaged` where what is there is not what was written.
    """

    def new(self, upload_id: UUID) -> File:
        """A file to be, with a fresh key. Nothing is on the disk yet; store its seal with the row before `append`."""
        ...

    async def receive(self, upload_id: UUID, body: AsyncIterable[bytes], max_bytes: int) -> Received:
        """Keep a whole body in one pass. Leaves nothing behind when it raises: InputError `file_empty`, TooLarge."""
        ...

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
        """Cut the part back to `at`, add what the body brings, return the offset behind it; all of it is durable then.

        `at` is 0 or an offset that was durable once. `durable` hears of each sync on the way, at least every 32 MiB,
        and of the last one. However the body breaks off (its iterator raises, the task is cancelled, or more comes
        than fits into a file of `max_bytes`: TooLarge), what came until then is made durable and told to `durable`
        before the error goes on. When `durable` raises, what was added since is not told and the error goes on.

        Bytes that are `provisional` count only once the caller says so, by using a later offset: before that `recover`
        goes back to `at`. That is for a body whose checksum is not known yet.

        Raises StateError `upload_busy` while another append, in whatever process of this machine, has the part.
        """
        ...

    async def recover(self, file: File, at: int) -> int:
        """The offset to go on from after a process died: `at`, the last one recorded, or a later one.

        All that had reached the disk by then counts; it is made durable here. Raises StateError `upload_busy`, and
        InputError `upload_damaged` if not even the content before `at` is there.
        """
        ...

    async def finish(self, file: File, size_bytes: int) -> Received:
        """Keep the part, which has `size_bytes` of content. May be repeated, also after a crash in the middle."""
        ...

    async def concat(self, file: File, parts: Sequence[tuple[File, int]], max_bytes: int) -> Received:
        """Keep what these parts, each with its size, hold one after another. The parts stay. May be repeated."""
        ...

    async def remove(self, upload_id: UUID) -> bool:
        """Delete all there is of an upload, part or kept; whether there was anything."""
        ...

    def read(self, file: File, size_bytes: int, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """The content of a kept file from `start` to before `stop`, in pieces of up to 1 MiB.

        Raises NotFound if it is not there, and InputError `upload_damaged` before a wrong byte is given.
        """
        ...

    def source(self, file: File, size_bytes: int) -> AbstractAsyncContextManager[Mapping[str, object]]:
        """What a child process needs to read a kept file: the argument of `workers.source.open_source`, as JSON.

        It is good while the context lasts. It has the key in it: hand it over by a pipe and show it to nobody.
        """
        ...

    async def missing(self, upload_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the uploads that have no kept file."""
        ...

    def untouched_for(self, age_s: float, batch: int) -> AsyncIterator[list[Found]]:
        """What was last written longer ago than `age_s`, in batches."""
        ...

    async def mark(self) -> UUID | None:
        """What `set_mark` wrote, None if there is none. One that is damaged is the nil UUID, nobody's."""
        ...

    async def set_mark(self, mark: UUID) -> None:
        """Write durably which database the files here belong to."""
        ...

    @property
    def master(self) -> bytes:
        """How seals name the current master key."""
        ...

    def rewrapped(self, file: File) -> bytes | None:
        """The file's seal under the current master key; None if it is that one already. The bytes stay as they are."""
        ...

    async def feed(self, digest: Digest, content: bytes | bytearray) -> None:
        """Let a digest take more, in a thread if that lasts."""
        ...

    async def free_bytes(self) -> int:
        """How much more fits on the disk that parts grow on."""
        ...

    def close(self) -> None:
        """Let the threads end."""
        ...
