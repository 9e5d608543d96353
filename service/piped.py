"""Passes what a dataset gives through a child process, so that no event loop waits for the library that writes it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from service.domain.processor import Piece

READ_BYTES = 256 * 1024

_CODE = str(Path(__file__).resolve().parent.parent)


async def piped(
    module: str,
    given: AsyncGenerator[Piece, None],
    failure: Callable[[int, bytes], Exception],
    *,
    hears: bool = False,
    **environment: str,
) -> AsyncGenerator[Piece, None]:
    """What `python -m MODULE` makes of `given`, in pieces; rows are counted as they are given.

    Raises what `given` raises, and `failure(exit code, what it said on standard error)` if the child fails. What it
    says goes to the log unless it `hears`.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if hears else None,
        env={"PATH": os.defpath, "PYTHONPATH": _CODE, "LANG": "C.UTF-8", **environment},
        start_new_session=True,
    )
    assert child.stdout is not None
    counted = [0]
    feeding = asyncio.create_task(_feed(child, given, counted))
    try:
        while content := await child.stdout.read(READ_BYTES):
            rows, counted[0] = counted[0], 0
            yield Piece(content, rows)
        await feeding
        told = await child.stderr.read(READ_BYTES) if child.stderr is not None else b""
        if (code := await child.wait()) != 0:
            raise failure(code, told)
        if counted[0]:
            yield Piece(b"", counted[0])
    finally:
        feeding.cancel()
        _end(child)
        await asyncio.wait([feeding])
        await child.wait()


async def _feed(child: asyncio.subprocess.Process, given: AsyncGenerator[Piece, None], counted: list[int]) -> None:
    assert child.stdin is not None
    try:
        async with aclosing(given):
            async for piece in given:
                counted[0] += piece.rows
                child.stdin.write(piece.content)
                await child.stdin.drain()
        child.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # its exit code tells
    except BaseException:
        _end(child)  # half is never shown as whole
        raise


def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
