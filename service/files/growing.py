"""Takes the body of a request into a part: hashes, seals and writes it in threads while more of it arrives."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any, TypeVar

from service.domain.errors import TooLarge
from service.files.frames import FRAME_BYTES
from service.files.parts import Part
from service.files.port import Durable
from service.files.threads import Threads

T = TypeVar("T")

WRITE_BYTES = 448 * 1024
"""Received pieces are gathered to this size before threads take them. When the process dies, twice this may be lost."""

SYNC_BYTES = 32 * 1024 * 1024
"""After so much the disk is asked to keep up, so that the last sync is short and a huge file fills no memory."""


class Growth:
    """A part that takes in bodies. `digest` is of all that the part has, or None."""

    def __init__(
        self, part: Part, digest: hashlib._Hash | None, max_bytes: int, durable: Durable | None, threads: Threads
    ) -> None:
        self.digest = digest
        self.size = part.size
        self._part = part
        self._max_bytes = max_bytes
        self._durable = durable
        self._threads = threads
        self._block = bytearray()
        self._work: list[asyncio.Future[Any]] = []
        self._sync: asyncio.Future[int | None] | None = None
        self._written = self._asked = part.full
        self._told = part.size

    async def take(self, body: AsyncIterable[bytes]) -> None:
        """Write all of a body. Whatever breaks it off, what came is written when this is left.

        Raises TooLarge, OSError, and what the body or `durable` raises.
        """
        self._threads.bodies += 1
        try:
            async for piece in body:
                room = self._max_bytes - self.size
                if isinstance(piece, bytearray) and not self._block and len(piece) <= room:
                    self._block = piece  # whoever gives one out has done with it
                else:
                    self._block += piece[:room] if len(piece) > room else piece
                self.size += min(len(piece), room)
                if len(piece) > room:
                    raise too_large(self._max_bytes)
                if len(self._block) >= WRITE_BYTES:
                    await self._hand_over()
                    if isinstance(piece, bytearray):
                        await self._done()  # meanwhile `Body` reads the next one: both together are what may be lost
                    await self._keep_up()
        finally:
            self._threads.bodies -= 1
            while self._block:
                await self._hand_over()
            await self._done()
            if self._sync is not None:
                await unbroken(self._sync)

    async def settle(self, held: int | None) -> None:
        """Make what came durable, to be gone on with later. Raises OSError, and what `durable` raises."""
        await unbroken(self._threads.run(self._part.settle, held))
        await self._tell(self.size)

    async def _hand_over(self) -> None:
        await self._done()
        block, self._block = self._block, bytearray()
        if len(block) >= WRITE_BYTES:  # what does not fill a frame waits here: the part need not copy all to add to it
            end = len(block) - self.size % FRAME_BYTES
            self._block += memoryview(block)[end:]
            del block[end:]
        # While the next block arrives. Two threads for one file only while there is no other: changing costs time too.
        if self.digest is None or self._threads.bodies > 1:
            self._work = [self._threads.run(self._add, block)]
        else:
            self._work = [self._threads.run(self._part.add, block), self._threads.run(self.digest.update, block)]

    def _add(self, block: bytearray) -> None:
        self._part.add(block)
        if self.digest is not None:
            self.digest.update(block)

    async def _done(self) -> None:
        """Wait until what was handed over is written, and take note of how far that is."""
        for future in self._work:  # if this is cancelled, the next one to call waits on
            with suppress(Exception):
                await unbroken(future)
        work, self._work = self._work, []
        self._written = self._part.full
        try:
            for future in work:
                future.result()
        except BaseException:
            self._block.clear()  # behind what is missing
            self.size, self.digest = self._part.size, None
            raise

    async def _keep_up(self) -> None:
        is_due = self._written - self._asked >= SYNC_BYTES
        if self._sync is not None and (is_due or self._sync.done()):  # no faster than the disk
            await unbroken(self._sync)
            self._sync = None
            await self._tell(self._asked)
        if is_due:
            self._asked = self._written
            self._sync = self._threads.run(self._part.sync)

    async def _tell(self, offset: int) -> None:
        if self._durable is not None and offset > self._told:
            self._told, tell = offset, self._durable
            self._durable = None  # until it has come back: once it has raised it is not asked again
            await tell(offset)
            self._durable = tell


async def unbroken(work: asyncio.Future[T]) -> T:
    """The result of a thread's work. A cancel takes effect only once that has ended: nothing is closed under it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        raise


def too_large(max_bytes: int) -> TooLarge:
    """The file is over the limit."""
    return TooLarge(
        "too_large",
        f"The file is larger than the {max_bytes} bytes that are accepted here.",
        suggestion="Split the file, or raise MILLRACE_MAX_UPLOAD_BYTES.",
    )
