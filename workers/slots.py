"""Memory that a child puts its encoded rows into, and from which its parent has the kernel send them to PostgreSQL.

The parent copies nothing and parses nothing, yet it alone writes the protocol: it frames whatever bytes it finds, so a
child that was taken over can spoil its own rows and no more. Linux only; elsewhere, and for a chunk that does not fit,
rows go through the child's pipe. A slot's pages lie in the socket as they are, so it is free again only when the server
has said that it has read them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

SLOTS = 3
"""One that is filled, and one for each of the two chunks that a committer has on its way."""

SLOT_BYTES = 64 * 1024 * 1024
"""The most that a slot holds. Only what was ever used takes memory."""


class Slots:
    """The parent's side: the memory, and a pipe that tells the child which of it is free again."""

    def __init__(self) -> None:
        self._memory = [os.memfd_create(f"millrace-{number}") for number in range(SLOTS)]
        for descriptor in self._memory:
            os.ftruncate(descriptor, SLOT_BYTES)
        self._read_freed, self._write_freed = os.pipe()

    @property
    def for_child(self) -> tuple[int, ...]:
        """The descriptors that the child needs: what is free, then the memory."""
        return (self._read_freed, *self._memory)

    def memory(self, slot: int, length: int) -> int:
        """The descriptor of a slot's memory. Raises ValueError for what a child cannot rightly have said."""
        if not (0 <= slot < SLOTS and 0 < length <= SLOT_BYTES):
            raise ValueError(f"a child spoke of {length} bytes in slot {slot}")
        return self._memory[slot]

    def free(self, slot: int) -> None:
        """Let the child use the slot again."""
        with suppress(BrokenPipeError):  # the child is gone
            os.write(self._write_freed, bytes([slot]))

    def started(self) -> None:
        """The child has its own copies of what is for it alone."""
        os.close(self._read_freed)

    def close(self) -> None:
        """Let go of the memory."""
        for descriptor in (*self._memory, self._write_freed):
            os.close(descriptor)


class Shelf:
    """The child's side: puts payloads into free slots."""

    def __init__(self, freed: int, memory: Sequence[int]) -> None:
        self._freed = freed
        self._memory = [mmap.mmap(descriptor, SLOT_BYTES) for descriptor in memory]
        self._free = list(range(len(memory)))

    def put(self, pieces: Iterator[bytes]) -> tuple[int, int] | Iterable[bytes]:
        """The slot that holds all the pieces, and their length; or, if they do not fit, the pieces."""
        slot = self._take()
        memory, length = self._memory[slot], 0
        for data in pieces:
            end = length + len(data)
            if end > SLOT_BYTES:
                return self._taken_back(slot, length, data, pieces)
            memory[length:end] = data
            length = end
        return slot, length

    def _take(self) -> int:
        if not self._free:
            self._free = list(os.read(self._freed, len(self._memory)))
            if not self._free:
                os._exit(0)  # the parent is gone
        return self._free.pop()

    def _taken_back(self, slot: int, length: int, data: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        for start in range(0, length, mmap.ALLOCATIONGRANULARITY * 256):
            yield self._memory[slot][start : min(start + mmap.ALLOCATIONGRANULARITY * 256, length)]
        self._free.append(slot)
        yield data
        yield from rest
