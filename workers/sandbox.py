"""Starts and watches the limited child process that a file is read in. See `workers.child` for the other side."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from service.config import Settings
from service.domain.errors import InputError
from workers.frames import PIECE_BYTES, Frame, read_frame, read_payload

log = structlog.get_logger()

_CODE = str(Path(__file__).resolve().parent.parent)


_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""A child needs the same large buffers for each chunk: kept, they cost half the system time of given back and forth."""


class ProcessorCrashed(Exception):
    """The child ended in a way that is a bug of the processor, not a fault of the file."""


class Sandbox:
    """A running child. Iterate `frames`; where a chunk has rows, read its `payload` before the next frame."""

    def __init__(self, process: asyncio.subprocess.Process, deadline_s: float) -> None:
        assert process.stdout is not None
        self._process = process
        self._reader = process.stdout
        self._deadline_s = deadline_s

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def frames(self) -> AsyncIterator[Frame]:
        """Chunk frames until the end. Raises InputError for a file at fault, ProcessorCrashed for a bug."""
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
                case "crashed":
                    log.error("processor.crashed", trace=frame.fields["trace"])
                    raise ProcessorCrashed(frame.fields["error"])
                case _:
                    yield frame

    def payload(self) -> AsyncIterator[bytes]:
        """The rows of the chunk announced last, as a binary COPY stream."""
        return read_payload(self._reader)

    async def _cause_of_death(self) -> Exception:
        code = await self._process.wait()
        if code == -signal.SIGXCPU:
            return InputError(
                "too_much_cpu",
                "Reading this file takes more processor time than one job may use.",
                suggestion="Split the file, or raise MILLRACE_CHILD_CPU_S.",
            )
        return ProcessorCrashed(f"the reading process ended with exit code {code}")


class Sandboxes:
    """Starts children, one of them ahead: a spare has its libraries loaded before the job is there.

    `open` is for one job; use the whole as a context manager, so that no spare is left behind.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spare: asyncio.Task[asyncio.subprocess.Process] | None = None

    async def __aenter__(self) -> Sandboxes:
        self._prepare()
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._spare is not None:
            await end(await self._spare)

    @asynccontextmanager
    async def open(
        self, source: Mapping[str, object], request: Mapping[str, Any], deadline_s: float | None = None
    ) -> AsyncIterator[Sandbox]:
        """A child that reads `source` as `request` says; it is gone when the block is left, however that happens.

        `source` is what `Files.source` gave. It may be silent for `deadline_s`, by default as long as the setting says.
        """
        process = await self._take()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps({**request, "source": source}).encode() + b"\n")
            yield Sandbox(process, deadline_s or self._settings.chunk_deadline_s)
        finally:
            await end(process)
            self._prepare()  # only now: while a job runs, the processors have better things to do

    def _prepare(self) -> None:
        if self._spare is None:
            self._spare = asyncio.create_task(self._start())

    async def _take(self) -> asyncio.subprocess.Process:
        spare, self._spare = self._spare, None
        if spare is not None:
            process = await spare
            if process.returncode is None:
                return process
        return await self._start()

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.child",
            str(self._settings.child_memory_bytes),
            str(self._settings.child_cpu_s),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=PIECE_BYTES,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child in order
        )


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a child and wait until it is gone."""
    with suppress(ProcessLookupError):
        process.kill()
    assert process.stdout is not None
    while await process.stdout.read(PIECE_BYTES):  # asyncio waits for the pipe's end, and a full one is not read on
        pass
    await process.wait()


def _environment() -> dict[str, str]:
    # Nothing of ours: a parser must not find keys or addresses.
    return {"PATH": os.defpath, "PYTHONPATH": _CODE, "LANG": "C.UTF-8", **_MEMORY}


def _stuck(deadline_s: float) -> InputError:
    return InputError(
        "no_progress",
        f"Reading this file gave nothing for {deadline_s:g} seconds and was stopped.",
        suggestion="Check the file for one huge record, or raise MILLRACE_CHUNK_DEADLINE_S.",
    )
