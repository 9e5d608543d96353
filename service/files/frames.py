"""How content lies on a disk: in frames of 64 KiB, each sealed by itself with AES-256-GCM under the file's own key.

A frame is a random nonce (12 bytes), the sealed content and a tag (16). What it is sealed with besides says which file
it is of, the how-manieth it is, and whether it is the last: so that one that was changed, swapped, moved or taken from
another file does not open, and a file that was cut is seen to lack its last one. The last frame has what is left behind
the full ones, 0 to 65,535 bytes.

A packed file has its frames compressed with zstd, those that shrink by it. They differ in length: each begins with its
own (4 bytes), and behind the last one come the lengths of all, as a frame, and the length of that (8 bytes).
"""

from __future__ import annotations

import os
import struct
import threading
from array import array
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.errors import InputError

FRAME_BYTES = 64 * 1024
"""Content of a full frame."""

OVERHEAD_BYTES = 28
SLOT_BYTES = FRAME_BYTES + OVERHEAD_BYTES
NONCE_BYTES = 12

_VERSION = 1
_BOUND = struct.Struct("<B16sQBBq")
_LENGTH = struct.Struct("<I")
INDEX_LENGTH = struct.Struct("<Q")

Bytes = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a frame is; one of another kind does not open."""

    FULL = 0
    LAST = 1
    TAIL = 2
    INDEX = 3


class Frames:
    """Seals and opens the frames of one file. Safe to use from several threads."""

    def __init__(self, upload_id: UUID, key: bytes, *, packed: bool) -> None:
        self.upload_id = upload_id
        self.key = key
        self.packed = packed
        self._cipher = AESGCM(key)

    def sealed(self, index: int, kind: Kind, content: Bytes, extra: int = 0) -> bytes:
        """One frame as it is stored. `extra` is bound to it too."""
        out = bytearray(OVERHEAD_BYTES + len(content))
        out[:NONCE_BYTES] = nonce = os.urandom(NONCE_BYTES)
        self._cipher.encrypt_into(nonce, content, self._bound(index, kind, extra), memoryview(out)[NONCE_BYTES:])
        return bytes(out)

    def opened(self, index: int, kind: Kind, stored: Bytes, extra: int = 0) -> bytes:
        """The content of one frame. Raises InputError `upload_damaged`."""
        view = memoryview(stored)
        if len(view) < OVERHEAD_BYTES:
            raise damaged()
        try:
            return self._cipher.decrypt(bytes(view[:NONCE_BYTES]), view[NONCE_BYTES:], self._bound(index, kind, extra))
        except InvalidTag:
            raise damaged() from None

    def row(self, first: int, content: Bytes) -> tuple[Sequence[Bytes], list[int]]:
        """Full frames from number `first` on as they are stored, to be written one behind the other; their lengths.

        They are to be used before the thread calls this again.
        """
        view = memoryview(content)
        count = len(view) // FRAME_BYTES
        if self.packed:
            pieces = [
                self.stored(first + n, Kind.FULL, view[n * FRAME_BYTES : (n + 1) * FRAME_BYTES]) for n in range(count)
            ]
            return pieces, [len(piece) for piece in pieces]
        out, nonces = _scratch(count * SLOT_BYTES), os.urandom(count * NONCE_BYTES)
        encrypt, bound = self._cipher.encrypt_into, self._bound
        for n in range(count):
            at, nonce = n * SLOT_BYTES, nonces[n * NONCE_BYTES : (n + 1) * NONCE_BYTES]
            frame = view[n * FRAME_BYTES : (n + 1) * FRAME_BYTES]
            out[at : at + NONCE_BYTES] = nonce
            encrypt(nonce, frame, bound(first + n, Kind.FULL, 0), out[at + NONCE_BYTES : at + SLOT_BYTES])
        return [out], [SLOT_BYTES] * count

    def stored(self, index: int, kind: Kind, content: Bytes) -> bytes:
        """One frame of content as it lies in the file."""
        if not self.packed:
            return self.sealed(index, kind, content)
        body = self.sealed(index, kind, _packed(content))
        return _LENGTH.pack(len(body)) + body

    def content(self, index: int, kind: Kind, stored: Bytes) -> bytes:
        """What `stored` made a frame of. Raises InputError `upload_damaged`."""
        if not self.packed:
            return self.opened(index, kind, stored)
        view = memoryview(stored)
        if len(view) < _LENGTH.size or _LENGTH.unpack_from(view)[0] != len(view) - _LENGTH.size:
            raise damaged()
        return _unpacked(self.opened(index, kind, view[_LENGTH.size :]))

    def index(self, lengths: Sequence[int]) -> bytes:
        """What stands behind the last frame of a packed file."""
        body = self.sealed(len(lengths), Kind.INDEX, array("I", lengths).tobytes())
        return body + INDEX_LENGTH.pack(len(body))

    def offsets(self, stored_index: Bytes, count: int) -> array[int]:
        """Where each of `count` frames begins, and the last one ends. Raises InputError `upload_damaged`."""
        lengths = array("I", self.opened(count, Kind.INDEX, stored_index))
        return array("Q", accumulate(lengths, initial=0))

    def _bound(self, index: int, kind: Kind, extra: int) -> bytes:
        return _BOUND.pack(_VERSION, self.upload_id.bytes, index, kind, self.packed, extra)


_threads = threading.local()


def _scratch(size: int) -> memoryview:
    """Memory of this thread, taken once: new pages for every block cost as much as a third of the sealing."""
    found: bytearray | None = getattr(_threads, "scratch", None)
    if found is None or len(found) < size:
        found = _threads.scratch = bytearray(size)
    return memoryview(found)[:size]


class Places(Protocol):
    """Where the frames of a file begin: `places[n]`, and behind the last one where that ends."""

    def __getitem__(self, number: int, /) -> int: ...


class EvenPlaces:
    """Those of a file that is not packed."""

    def __init__(self, size_bytes: int) -> None:
        self._end = stored_bytes(size_bytes)

    def __getitem__(self, number: int) -> int:
        return min(number * SLOT_BYTES, self._end)


def count_of(size_bytes: int) -> int:
    """How many frames a file of so much content has."""
    return size_bytes // FRAME_BYTES + 1


def stored_bytes(size_bytes: int) -> int:
    """How long a file of so much content is, if it is not packed."""
    return size_bytes + count_of(size_bytes) * OVERHEAD_BYTES


def contents(frames: Frames, first: int, stored: Bytes, places: Places, size_bytes: int) -> list[bytes]:
    """The content of the frames from number `first` on that lie in `stored`, one behind the other, to its end.

    Raises InputError `upload_damaged` if any of them does not open or has not the length that it should have.
    """
    view, last = memoryview(stored), size_bytes // FRAME_BYTES
    found, number, base = [], first, places[first]
    while number <= last and places[number + 1] - base <= len(view):
        kind = Kind.LAST if number == last else Kind.FULL
        content = frames.content(number, kind, view[places[number] - base : places[number + 1] - base])
        if len(content) != (size_bytes % FRAME_BYTES if number == last else FRAME_BYTES):
            raise damaged()
        found.append(content)
        number += 1
    if places[number] - base != len(view):
        raise damaged()
    return found


def damaged() -> InputError:
    """What is stored is not what was written."""
    return InputError(
        "upload_damaged",
        "The stored file is not what was uploaded: part of it was changed, moved or cut off.",
        suggestion="Upload the file again. An operator may look at the damaged one: it is kept.",
    )


def _packed(content: Bytes) -> bytes:
    import pyarrow as pa  # heavy, and most installations do not pack

    small: bytes = pa.Codec("zstd", compression_level=3).compress(content, asbytes=True)
    return _LENGTH.pack(len(content)) + small if len(small) < len(content) else _LENGTH.pack(0) + bytes(content)


def _unpacked(content: bytes) -> bytes:
    import pyarrow as pa

    (length,) = _LENGTH.unpack_from(content)  # an honest one: the frame has opened
    if length == 0:
        return content[_LENGTH.size :]
    return bytes(pa.Codec("zstd").decompress(content[_LENGTH.size :], length, asbytes=True))
