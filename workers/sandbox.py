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

from service.domain.errors import InputError
from workers.frames import PIECE_BYTES, Frame, read_frame, read_payload

log = structlog.get_logger()

_CODE = str(Path(__file__).resolve().parent.parent)


class ProcessorCrashed(Exception):
    """The child ended in a way that is a bug of the processor, not a fault of the file."""


class Sandbox:
    """A running child. Iterate `frames`; read each chunk's `payload` to its end before the next frame."""

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

    def payload(self, frame: Frame) -> AsyncIterator[bytes]:
        """The rows of a chunk as a binary COPY stream."""
        return read_payload(self._reader, frame.payload_bytes)

    async def _cause_of_death(self) -> Exception:
        code = await self._process.wait()
        if code == -signal.SIGXCPU:
            return InputError(
                "too_much_cpu",
                "Reading this file takes more processor time than one job may use.",
                suggestion="Split the file, or raise MILLRACE_CHILD_CPU_S.",
            )
        return ProcessorCrashed(f"the reading process ended with exit code {code}")


@asynccontextmanager
async def open_sandbox(
    path: Path, request: Mapping[str, Any], *, memory_bytes: int, cpu_s: int, deadline_s: float
) -> AsyncIterator[Sandbox]:
    """Start a child that reads `path` as `request` says; it is gone when the block is left, however that happens."""
    file = os.open(path, os.O_RDONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(file,),
            env=_environment(),
            limit=PIECE_BYTES,
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child in order
        )
    finally:
        passed = file
        os.close(file)
    try:
        assert process.stdin is not None
        order = {**request, "file": passed, "memory_bytes": memory_bytes, "cpu_s": cpu_s}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        yield Sandbox(process, deadline_s)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    # Nothing of ours: a parser must not find keys or addresses. One malloc arena keeps the memory flat.
    return {"PATH": os.defpath, "PYTHONPATH": _CODE, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}


def _stuck(deadline_s: float) -> InputError:
    return InputError(
        "no_progress",
        f"Reading this file gave nothing for {deadline_s:g} seconds and was stopped.",
        suggestion="Check the file for one huge record, or raise MILLRACE_CHUNK_DEADLINE_S.",
    )
