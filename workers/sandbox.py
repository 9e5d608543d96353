"""Starts and watches the limited child process that a file is read in. See `workers.child` for the other side."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from service.config import Settings
from service.domain.chunk import TooNarrow, Widening
from service.domain.dataset import columns_from_json
from service.domain.errors import InputError
from workers import forkserver
from workers.forkserver import Forked, ForkServer
from workers.frames import PIECE_BYTES, Frame, read_frame, read_payload
from workers.pieces import Payload, Pieces, Shared
from workers.slots import Slots

log = structlog.get_logger()

LOADED = ("workers.libraries",)

_CODE = str(Path(__file__).resolve().parent.parent)


_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""A child needs the same large buffers for each chunk: kept, they cost half the system time of given back and forth."""


class ProcessorCrashed(Exception):
    """The child ended in a way that is a bug of the processor, not a fault of the file."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process, what it says over a pipe, and the memory it shares with us, where the system has such memory.

    An event loop's own pipe may be a socket, which cannot be made as large.
    """

    process: Process | Forked
    requests: asyncio.WriteTransport
    reader: asyncio.StreamReader
    pipe: asyncio.ReadTransport
    slots: Slots | None

    async def end(self) -> None:
        """Kill it and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.requests.close()
        self.pipe.close()
        try:
            await self.process.wait()
        finally:
            if self.slots is not None:
                self.slots.close()


class Sandbox:
    """A running child. Iterate `frames`; before the next one take a chunk's `payload`, or the `content` of a file."""

    def __init__(self, child: Child, source: Mapping[str, object], deadline_s: float) -> None:
        self._process = child.process
        self._requests = child.requests
        self._slots = child.slots
        self._reader = child.reader
        self._source = source
        self._deadline_s = deadline_s

    def ask(self, request: Mapping[str, Any]) -> None:
        """Have it read its file as `request` says, once it has said all that it was asked for before."""
        self._requests.write(json.dumps({**request, "source": self._source}).encode() + b"\n")

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def frames(self) -> AsyncIterator[Frame]:
        """Chunk frames until the end. Raises InputError for a file at fault, ProcessorCrashed for a bug, TooNarrow."""
        while True:
            try:
                async with asyncio.timeout(self._deadline_s):
                    frame = await read_frame(self._reader)
            except TimeoutError:
                raise _stuck(self._deadline_s) from None
            except asyncio.IncompleteReadError:
                raise await self._cause_of_death() from None
            match frame.kind:
                case "end":
                    return
                case "failed":
                    raise InputError(
                        frame.fields["code"], frame.fields["message"], suggestion=frame.fields["suggestion"]
                    )
                case "too_narrow":
                    raise _too_narrow(frame)
                case "crashed":
                    log.error("processor.crashed", trace=frame.fields["trace"])
                    raise ProcessorCrashed(frame.fields["error"])
                case _:
                    yield frame

    async def payload(self, frame: Frame) -> Payload:
        """The rows of the chunk announced last, as a binary COPY stream. It must be let go of when it is copied."""
        if not frame.fields["inserted"]:
            return Pieces([])
        if (slot := frame.fields.get("slot")) is None:
            return Pieces([data async for data in read_payload(self._reader)])
        if self._slots is None:
            raise ProcessorCrashed("the child spoke of memory that it does not have")
        length = int(frame.fields["length"])
        return Shared(self._slots.memory(slot, length), length, partial(self._slots.free, slot))

    async def content(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file announced last, to be taken before the next frame."""
        pieces = read_payload(self._reader)
        while True:
            try:
                async with asyncio.timeout(self._deadline_s):
                    data = await anext(pieces, b"")
            except TimeoutError:
                raise _stuck(self._deadline_s) from None
            except asyncio.IncompleteReadError:
                raise await self._cause_of_death() from None
            if not data:
                return
            yield data

    async def _cause_of_death(self) -> Exception:
        code = await self._process.wait()
        if code == -signal.SIGXCPU:
            return InputError(
                "too_much_cpu",
                "Reading this file takes more processor time than one job may use.",
                suggestion="Split the file, or raise MILLRACE_CHILD_CPU_S.",
            )
        if code == -signal.SIGABRT:  # what libraries in C++ and Rust do where they get no memory
            return InputError(
                "too_much_memory",
                "Reading this file takes more memory than one job may use.",
                suggestion="Clear what stands far from a table, split the file, or raise MILLRACE_CHILD_MEMORY_BYTES.",
            )
        return ProcessorCrashed(f"the reading process ended with exit code {code}")


class Sandboxes:
    """Starts children, by forking a process that has the libraries loaded before the job is there.

    `open` is for one job; use the whole as a context manager, so that nothing is left behind.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: asyncio.Task[ForkServer] | None = None

    async def __aenter__(self) -> Sandboxes:
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._server is not None:
            with suppress(OSError):
                await (await self._server).close()

    @asynccontextmanager
    async def open(
        self, source: Mapping[str, object], request: Mapping[str, Any] | None, deadline_s: float | None = None
    ) -> AsyncIterator[Sandbox]:
        """A child that reads `source` as `request` says; it is gone when the block is left, however that happens.

        Without a request it waits to be asked. `source` is what `Files.source` gave. It may be silent for `deadline_s`,
        by default as long as the setting says.
        """
        child = await self._start()
        try:
            sandbox = Sandbox(child, source, deadline_s or self._settings.chunk_deadline_s)
            if request is not None:
                sandbox.ask(request)
            yield sandbox
        finally:
            await child.end()

    def warm_up(self) -> None:
        """Load the libraries ahead of the first child: half a second of work, for when there is no other."""
        if forkserver.IS_AVAILABLE:
            self._load()

    def _load(self) -> asyncio.Task[ForkServer]:
        if self._server is None or (self._server.done() and self._server.exception() is not None):
            self._server = asyncio.create_task(ForkServer.start(LOADED, _environment()))
        return self._server

    async def _loaded(self) -> ForkServer:
        """The process to fork; another one if it was killed."""
        server = await asyncio.shield(loading := self._load())
        if server.is_alive:
            return server
        if self._server is loading:
            self._server = None
        await server.close()
        return await self._loaded()

    async def _start(self) -> Child:
        slots = Slots() if hasattr(os, "memfd_create") else None
        shared = slots.for_child if slots is not None else ()
        read_requests, write_requests = os.pipe()
        read_frames, write_frames = os.pipe()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=PIECE_BYTES)
        pipe, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_frames, "rb", buffering=0)
        )
        requests, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write_requests, "wb", buffering=0))
        try:
            process = await self._process(read_requests, write_frames, shared)
        except BaseException:
            pipe.close()
            requests.close()
            if slots is not None:
                slots.close()
            raise
        finally:
            os.close(read_requests)
            os.close(write_frames)
        if slots is not None:
            slots.started()
        return Child(process, requests, reader, pipe, slots)

    async def _process(self, requests: int, frames: int, shared: tuple[int, ...]) -> Process | Forked:
        limits = (str(self._settings.child_memory_bytes), str(self._settings.child_cpu_s))
        if forkserver.IS_AVAILABLE:
            server = await self._loaded()
            return await server.fork("workers.child", limits, _environment(), (requests, frames, 2, *shared))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.child", *limits, *map(str, shared)),
            stdin=requests,
            stdout=frames,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child in order
            pass_fds=shared,
        )


def _environment() -> dict[str, str]:
    # Nothing of ours: a parser must not find keys or addresses.
    return {"PATH": os.defpath, "PYTHONPATH": _CODE, "LANG": "C.UTF-8", **_MEMORY}


def _too_narrow(frame: Frame) -> TooNarrow:
    found = []
    for told in frame.fields["widenings"]:
        (old,), (new,) = columns_from_json(told["old"]), columns_from_json(told["new"])
        found.append(Widening(old, new, told["row"], told["text"], told["steps"]))
    return TooNarrow(tuple(found))


def _stuck(deadline_s: float) -> InputError:
    return InputError(
        "no_progress",
        f"Reading this file gave nothing for {deadline_s:g} seconds and was stopped.",
        suggestion="Check the file for one huge record, or raise MILLRACE_CHUNK_DEADLINE_S.",
    )
