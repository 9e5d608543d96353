"""The child process a file is read in: `python -m workers.child MEMORY_BYTES CPU_S [FREED SLOT…]`, one file at a time.

It gets JSON requests on standard input, one a line, and answers each in frames on what was its standard output. It has
no database, no network where the system lets it drop it, and no secrets in its environment. FREED and SLOT… are the
descriptors of `workers.slots`.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import io
import json
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, cast
from uuid import UUID

from service.domain.chunk import Chunk, Enclosed, TooNarrow, Widening, Widens
from service.domain.dataset import columns_from_json, columns_to_json
from service.domain.errors import InputError
from service.domain.processor import Processor, Work
from workers.frames import LAST_PIECE, PIPE_BYTES, head, piece_head, values_of
from workers.slots import Shelf
from workers.source import open_source
from workers.until import Until

_CLONE_NEWUSER, _CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x10000000, 0x40000000, 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

NICE = 5
"""A child is always a chunk ahead of the database; what answers users and takes its rows goes first."""

KEPT_BYTES = 64 * 1024 * 1024
"""Memory that a child keeps for its next block: to get new pages for each costs as much as a fifth of the parsing."""
LARGEST_BYTES = 32 * 1024 * 1024
"""Up to this size it is taken from there; the most that glibc lets us say."""


def main(memory_bytes: int, cpu_s: int, *slots: int) -> None:
    """Get ready; then answer requests until there are no more."""
    parent = os.getppid()
    limit(memory_bytes, cpu_s)
    keep_memory()
    if os.getppid() != parent:  # it died before we were tied to it
        return
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    if sys.platform == "linux":
        fcntl.fcntl(out.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.dup2(2, 1)  # whatever a library prints must not land between frames
    from workers import encoding  # here, under the limits, where they are not loaded yet
    from workers.libraries import PROCESSORS

    with Outbox(out, Shelf(slots[0], slots[1:]) if slots else None) as outbox:
        while line := sys.stdin.buffer.readline():
            request = json.loads(line)
            answer(PROCESSORS[request["processor"]], request, encoding.copy_pieces, outbox)


def answer(
    processor: Processor, request: Mapping[str, Any], encode: Callable[[Chunk, UUID], Iterator[bytes]], outbox: Outbox
) -> None:
    """Do what is asked; say how it ended."""
    try:
        asyncio.run(run(processor, request, encode, outbox))
        outbox.put([head("end")])
    except TooNarrow as error:
        outbox.put([head("too_narrow", widenings=[_widening(found) for found in error.widenings])])
    except InputError as error:
        outbox.put([head("failed", code=error.code, message=error.message, suggestion=error.suggestion)])
    except MemoryError:
        outbox.put([_too_much_memory()])
    except Exception as error:
        outbox.put([head("crashed", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())])


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Take away what a parser does not need: memory, processor time, new files, the network, life after the parent."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # slots are memory, and have their size
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # Containers may forbid user namespaces; the other limits stand without it.
        libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep_memory() -> None:
    """Have memory that was freed stay with us, where the C library can be told."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


async def run(
    processor: Processor, request: Mapping[str, Any], encode: Callable[[Chunk, UUID], Iterator[bytes]], outbox: Outbox
) -> None:
    """Send every chunk of the processor, encoded; or, if asked for, the places where its input can be cut."""
    from workers import corrections, previews

    columns = request["columns"]
    with open_source(request["source"]) as file:
        work = Work(
            source=file if request["stop"] is None else cast(BinaryIO, Until(file, request["stop"])),
            total=request["total"],
            options=processor.options.model_validate(request["options"]),
            cursor=request["cursor"],
            columns=None if columns is None else columns_from_json(columns),
            chunk_bytes=request["chunk_bytes"],
            widens=_widens(request["widens"]),
            explains="preview" in request,
        )
        if request["cut_bytes"] is not None:
            assert processor.cuts is not None
            for cut in processor.cuts(work, request["cut_bytes"]):
                outbox.put([head("cut", offset=cut.offset, row=cut.row, cursor=cut.cursor)])
            return
        assert processor.chunks is not None
        first = request.get("correction")
        async for chunk in processor.chunks(work) if first is None else corrections.chunks(work, first):
            if work.explains:
                outbox.put(previews.frame(chunk))
            else:
                for inner in chunk.enclosed:
                    outbox.put(enclosed(inner))
            if not work.explains or request["preview"] == "rows":
                outbox.put(outbox.frame(chunk, encode(chunk, UUID(request["job_id"]))))
            if isinstance(file, io.FileIO) and hasattr(os, "posix_fadvise") and request["stop"] is None:
                # What was read makes room for what the database writes.
                os.posix_fadvise(file.fileno(), 0, chunk.done, os.POSIX_FADV_DONTNEED)


class Outbox:
    """Writes frames from a thread of its own: one chunk is parsed while the one before it is encoded and sent."""

    def __init__(self, out: BinaryIO, shelf: Shelf | None = None) -> None:
        self._out = out
        self._shelf = shelf
        self._handed: queue.Queue[Iterable[bytes] | None] = queue.Queue()
        self._free = threading.Semaphore()
        self._thread = threading.Thread(target=self._write)
        self._failure: Exception | None = None

    def __enter__(self) -> Outbox:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._handed.put(None)
        self._thread.join()

    def put(self, pieces: Iterable[bytes]) -> None:
        """Hand over one frame, as soon as the one before it is written. Raises what making that one raised."""
        self._free.acquire()
        if self._failure is not None:
            raise self._failure
        self._handed.put(pieces)

    def frame(self, chunk: Chunk, encoded: Iterator[bytes]) -> Iterator[bytes]:
        """One chunk: its rows on the shelf if there is one and they fit, else behind the announcement."""
        if not chunk.batch.num_rows:
            yield _announced(chunk)
            return
        shelved = encoded if self._shelf is None else self._shelf.put(encoded)
        if isinstance(shelved, tuple):
            slot, length = shelved
            yield _announced(chunk, slot=slot, length=length)
            return
        yield _announced(chunk)
        for data in shelved:
            if data:  # the encoder keeps small batches back
                yield piece_head(data)
                yield data
        yield LAST_PIECE

    def _write(self) -> None:
        while (pieces := self._handed.get()) is not None:
            try:
                for data in pieces:
                    _write_all(self._out, data)
            except BrokenPipeError:
                os._exit(0)  # the parent is gone, nobody is left to read
            except Exception as error:
                self._failure = error
            self._free.release()


def _write_all(out: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _announced(chunk: Chunk, **where: int) -> bytes:
    return head(
        "chunk",
        columns=columns_to_json(chunk.columns),
        read=chunk.read,
        inserted=chunk.batch.num_rows,
        cursor=chunk.cursor,
        done=chunk.done,
        rejects=[values_of(reject) for reject in chunk.rejects],
        header=chunk.header,
        brings=chunk.brings,
        remarks=chunk.remarks,
        **where,
    )


def enclosed(file: Enclosed) -> Iterator[bytes]:
    """A file as a frame: it goes ahead of the chunk that it belongs to."""
    told = {name: getattr(file, name) for name in ("name", "size_bytes", "sha256", "media_type")}
    yield head("enclosed", **told)
    for data in file.content():
        if data:
            yield piece_head(data)
            yield data
    yield LAST_PIECE


def _widens(told: Mapping[str, Any] | None) -> Widens | None:
    if told is None:
        return None
    return Widens({c.name: c for c in columns_from_json(told["types"])}, told["steps"], told["misfits"])


def _widening(found: Widening) -> Mapping[str, Any]:
    return {**asdict(found), "old": columns_to_json([found.old]), "new": columns_to_json([found.new])}


def _too_much_memory() -> bytes:
    return head(
        "failed",
        code="too_much_memory",
        message="Reading this file takes more memory than one job may use.",
        suggestion="Split the file, or raise MILLRACE_CHILD_MEMORY_BYTES.",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
