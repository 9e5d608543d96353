"""A file that ends where it is told to: what reads it takes that for the end of the file."""

from __future__ import annotations

import io
from typing import BinaryIO


class Until(io.RawIOBase):
    """The first `stop` bytes of a seekable file, to read. Closing it leaves the file open."""

    def __init__(self, file: BinaryIO, stop: int) -> None:
        super().__init__()
        self._file = file
        self._stop = stop

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As any file does, but that the end is `stop`."""
        if whence == io.SEEK_END:
            return self._file.seek(self._stop + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes; all that are left without one."""
        left = max(0, self._stop - self._file.tell())
        return self._file.read(left if size is None or size < 0 else min(size, left))

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
