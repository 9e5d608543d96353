"""A part: the content of an upload as far as it has come, sealed, in `<id>.part` and `<id>.tail`.

The part has full frames only. What is left behind the last full one is the tail, a file that is written anew and
renamed when an append ends. So no acknowledged byte is ever written over: the tail stays until the frame that takes it
in is durable. These are blocking calls, for a thread.
"""

from __future__ import annotations

import fcntl
import os
import struct
from array import array
from contextlib import suppress
from itertools import accumulate, islice, pairwise
from pathlib import Path
from uuid import UUID

from service.domain.errors import InputError, StateError
from service.files.frames import FRAME_BYTES, SLOT_BYTES, Bytes, Frames, Kind, damaged
from service.files.masters import sync_folder

PART, TAIL = ".part", ".tail"

_TAIL = struct.Struct("<Qq")
_LENGTH = struct.Struct("<I")
_NOT_HELD = -1


class Part:
    """A part that is open for writing, by nobody else. Close it.

    `size` is the content that it has by now, with the rest that no full frame holds yet.
    """

    def __init__(self, folder: Path, frames: Frames) -> None:
        self._folder = folder
        self._frames = frames
        self._path = folder / f"{frames.upload_id}{PART}"
        self._tail = folder / f"{frames.upload_id}{TAIL}"
        self._ends = array("Q")  # where each full frame ends
        self._rest = b""
        self._descriptor = -1

    @property
    def size(self) -> int:
        """Bytes of content."""
        return self.full + len(self._rest)

    @property
    def full(self) -> int:
        """Bytes of content in full frames."""
        return len(self._ends) * FRAME_BYTES

    @property
    def path(self) -> Path:
        """The file with the frames."""
        return self._path

    @property
    def _end(self) -> int:
        return self._ends[-1] if self._ends else 0

    def open(self, *, make: bool) -> None:
        """Take the part. Raises FileNotFoundError, StateError `upload_busy`."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._path.stat().st_ino != os.fstat(self._descriptor).st_ino:
                raise FileNotFoundError(self._path)  # kept, or removed, since it was opened
            self._look()
        except BlockingIOError:
            self.close()
            raise StateError(
                "upload_busy",
                "This upload is being written by another request.",
                suggestion="Wait until that one has ended, or break it off.",
            ) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def cut(self, at: int, *, held: bool) -> None:
        """Go back to `at`. What comes behind is `held`: not to be counted by `recover` while `at` is what is recorded.

        Raises InputError `upload_damaged` if what was before `at` is not there.
        """
        number, left = divmod(at, FRAME_BYTES)
        self._rest = self._content(number, left)
        wanted = (number, self._rest, at if held else _NOT_HELD)
        if not (left or held):
            self._tail.unlink(missing_ok=True)
        elif self._read_tail() != wanted:
            self._write_tail(*wanted)
        self._shorten(number)

    def recover(self, at: int) -> int:
        """How far what is there goes, from `at` on, until a frame does not open. Raises InputError `upload_damaged`."""
        self._content(*divmod(at, FRAME_BYTES))
        number, tail, held = self._read_tail()
        if 0 <= at <= held:
            os.fsync(self._descriptor)
            return at
        count = at // FRAME_BYTES
        while count < len(self._ends):
            try:
                self._frame(count)
            except InputError:
                break
            count += 1
        os.fsync(self._descriptor)
        return max(at, count * FRAME_BYTES + (len(tail) if number == count else 0))

    def add(self, block: Bytes) -> int:
        """Write what of the rest and `block` together makes full frames, keep the rest; bytes that are on the disk."""
        data = memoryview(b"".join((self._rest, block)) if self._rest else block)
        whole = len(data) - len(data) % FRAME_BYTES
        if whole:
            pieces, lengths = self._frames.row(len(self._ends), data[:whole])
            start = self._end
            self._write(start, *pieces)
            if hasattr(os, "posix_fadvise"):
                # Begins to write it out, and waits for nothing: where much is left to a sync, the database waits too.
                os.posix_fadvise(self._descriptor, start, sum(lengths), os.POSIX_FADV_DONTNEED)
            self._ends.extend(islice(accumulate(lengths, initial=self._end), 1, None))
        self._rest = bytes(data[whole:])
        return self.full

    def sync(self) -> None:
        """Make the full frames durable, and let the memory that they take go to the database."""
        os.fdatasync(self._descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def settle(self, held: int | None) -> None:
        """Make all of it durable, to be gone on with later; `held` as `cut` was told."""
        self.sync()
        self._write_tail(len(self._ends), self._rest, _NOT_HELD if held is None else held)

    def end(self) -> None:
        """Write the last frame: the part is then a whole file, and durable."""
        last = self._frames.stored(len(self._ends), Kind.LAST, self._rest)
        places = [0, *self._ends, self._end + len(last)]
        index = [self._frames.index([b - a for a, b in pairwise(places)])] if self._frames.packed else []
        self._write(self._end, last, *index)
        os.fsync(self._descriptor)

    def content(self, start: int, stop: int) -> bytes:
        """Content from `start`, the beginning of a frame, to before `stop` or the end."""
        full = range(start // FRAME_BYTES, min(-(-stop // FRAME_BYTES), len(self._ends)))
        found = [self._frame(number) for number in full]
        if stop > self.full:
            found.append(self._rest)
        return b"".join(found)[: stop - start]

    def _look(self) -> None:
        """Find the full frames that are there, by their lengths alone; of a packed part also the last one's."""
        size = os.fstat(self._descriptor).st_size
        if not self._frames.packed:
            self._ends = array("Q", range(SLOT_BYTES, size + 1, SLOT_BYTES))
            return
        while len(head := os.pread(self._descriptor, _LENGTH.size, self._end)) == _LENGTH.size:
            end = self._end + _LENGTH.size + _LENGTH.unpack(head)[0]
            if end > size:
                return
            self._ends.append(end)

    def _content(self, number: int, left: int) -> bytes:
        """The first `left` bytes of frame `number`, wherever they are."""
        if number > len(self._ends):
            raise damaged()
        if not left:
            return b""
        tail_number, tail, _ = self._read_tail()
        if tail_number == number and len(tail) >= left:
            return tail[:left]
        if number == len(self._ends):
            raise damaged()
        return self._frame(number)[:left]

    def _frame(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        return self._frames.content(number, Kind.FULL, os.pread(self._descriptor, self._ends[number] - start, start))

    def _shorten(self, count: int) -> None:
        del self._ends[count:]
        os.ftruncate(self._descriptor, self._end)

    def _write(self, at: int, *pieces: Bytes) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                written = os.pwrite(self._descriptor, view, at)
                view, at = view[written:], at + written

    def _read_tail(self) -> tuple[int, bytes, int]:
        """The number of the frame that it begins, what it has of it, and from where on the content is held."""
        try:
            data = self._tail.read_bytes()
            number, held = _TAIL.unpack_from(data)
            return number, self._frames.opened(number, Kind.TAIL, memoryview(data)[_TAIL.size :], held), held
        except (FileNotFoundError, struct.error):
            return -1, b"", _NOT_HELD

    def _write_tail(self, number: int, content: bytes, held: int) -> None:
        draft = self._tail.with_suffix(".tail-draft")
        with draft.open("wb", buffering=0) as file:
            file.write(_TAIL.pack(number, held) + self._frames.sealed(number, Kind.TAIL, content, held))
            os.fsync(file.fileno())
        draft.rename(self._tail)
        sync_folder(self._folder)


def remove_part(folder: Path, upload_id: UUID) -> bool:
    """Delete the part of an upload; whether there was one."""
    there = False
    for suffix in (PART, TAIL, ".tail-draft"):
        with suppress(FileNotFoundError):
            (folder / f"{upload_id}{suffix}").unlink()
            there = True
    return there
