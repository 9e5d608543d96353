"""Reads kept files: in ranges for the API, and as a file that can be sought in for a child process."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

from service.files.frames import (
    FRAME_BYTES,
    INDEX_LENGTH,
    Bytes,
    EvenPlaces,
    Frames,
    Places,
    contents,
    count_of,
    damaged,
    stored_bytes,
)

if TYPE_CHECKING:
    from service.files.stores import Kept

WINDOW_FRAMES = 16
"""Frames that are read at a time: 1 MiB."""

PIECE_BYTES = WINDOW_FRAMES * FRAME_BYTES


async def plain(kept: Kept, size_bytes: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    """A range of a file from before there were seals."""
    if kept.size != size_bytes:
        raise damaged()
    for at in range(start, stop, PIECE_BYTES):
        yield await kept.get(at, min(at + PIECE_BYTES, stop))


async def opened(kept: Kept, frames: Frames, size_bytes: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    """A range of a sealed file. Raises InputError `upload_damaged` before a wrong byte is given."""
    places = await _places(kept, frames, size_bytes)
    first, end = start // FRAME_BYTES, -(-stop // FRAME_BYTES)
    for number in range(first, end, WINDOW_FRAMES):
        upto = min(number + WINDOW_FRAMES, end)
        stored = await kept.get(places[number], places[upto])
        data = b"".join(contents(frames, number, stored, places, size_bytes))
        base = number * FRAME_BYTES
        yield data[max(start - base, 0) : stop - base]


async def _places(kept: Kept, frames: Frames, size_bytes: int) -> Places:
    if not frames.packed:
        if kept.size != stored_bytes(size_bytes):
            raise damaged()
        return EvenPlaces(size_bytes)
    length_at = kept.size - INDEX_LENGTH.size
    start = length_at - _index_length(await kept.get(length_at, kept.size) if length_at > 0 else b"", length_at)
    return _indexed(frames, await kept.get(start, length_at), start, size_bytes)


def _index_length(stored: bytes, limit: int) -> int:
    if len(stored) != INDEX_LENGTH.size or not 0 < (length := INDEX_LENGTH.unpack(stored)[0]) <= limit:
        raise damaged()
    return int(length)


def _indexed(frames: Frames, stored_index: bytes, start: int, size_bytes: int) -> array[int]:
    places = frames.offsets(stored_index, count_of(size_bytes))
    if len(places) != count_of(size_bytes) + 1 or places[-1] != start:
        raise damaged()
    return places


class SealedFile(io.RawIOBase):
    """A sealed file on a local disk, to be read and sought in like any other. `read(n)` falls short only at the end.

    Raises InputError `upload_damaged` instead of giving a byte that was not written.
    """

    def __init__(self, path: Path, frames: Frames, size_bytes: int) -> None:
        self._frames = frames
        self._size = size_bytes
        self._at = 0
        self._number, self._window = -1, b""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._places = self._look()
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on from there."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Many at a time take a copy less, and no frame is opened twice for the read that follows."""
        stop = min(self._at + size, self._size)
        if stop - self._at < PIECE_BYTES:
            return super().read(size) or b""
        first, last = self._at // FRAME_BYTES, (stop - 1) // FRAME_BYTES
        known = [self._window] if first == self._number and len(self._window) <= FRAME_BYTES else []
        found = known + self._opened(first + len(known), last + 1)
        self._number, self._window = last, found[-1]
        begin, self._at = self._at - first * FRAME_BYTES, stop
        found[-1] = found[-1][: stop - last * FRAME_BYTES]
        found[0] = found[0][begin:]
        return b"".join(found)

    def readinto(self, buffer: Bytes) -> int:  # type: ignore[override]  # any writable buffer
        """Fill the buffer as far as the file goes."""
        into, filled = memoryview(buffer).cast("B"), 0
        while filled < len(into) and self._at < self._size:
            piece = memoryview(self._frames_at(self._at // FRAME_BYTES))[self._at - self._number * FRAME_BYTES :]
            piece = piece[: len(into) - filled]
            into[filled : filled + len(piece)] = piece
            filled, self._at = filled + len(piece), self._at + len(piece)
        return filled

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _frames_at(self, number: int) -> bytes:
        """The content of the window that has frame `number`, which begins with frame `self._number`."""
        if not self._number <= number < self._number + -(-len(self._window) // FRAME_BYTES):
            self._window = b"".join(self._opened(number, min(number + WINDOW_FRAMES, count_of(self._size))))
            self._number = number
        return self._window

    def _opened(self, number: int, upto: int) -> list[bytes]:
        start, stop = self._places[number], self._places[upto]
        found = contents(self._frames, number, self._read(start, stop), self._places, self._size)
        if hasattr(os, "posix_fadvise"):  # what was read makes room for what the database writes
            os.posix_fadvise(self._descriptor, 0, stop, os.POSIX_FADV_DONTNEED)
        return found

    def _look(self) -> Places:
        size = os.fstat(self._descriptor).st_size
        if not self._frames.packed:
            if size != stored_bytes(self._size):
                raise damaged()
            return EvenPlaces(self._size)
        length_at = size - INDEX_LENGTH.size
        start = length_at - _index_length(self._read(length_at, size) if length_at > 0 else b"", length_at)
        return _indexed(self._frames, self._read(start, length_at), start, self._size)

    def _read(self, start: int, stop: int) -> bytes:
        return os.pread(self._descriptor, stop - start, start)
