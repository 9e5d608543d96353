"""A child process that speaks one JSON object a line, and dies with the bench."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from service.embedded.child import LAUNCH

PATIENCE_S = 30.0
STOP_S = 10.0


class Child:
    """A running process; what it logs goes to a file."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    async def start(
        cls, python: str, command: list[str], log: Path, settings: Mapping[str, str], folder: Path | None = None
    ) -> Child:
        """Start a command with these settings beside the inherited ones, in `folder`."""
        tied = [python, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGTERM)), "self", "--", *command]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tied, cwd=folder, env=os.environ | settings, stdin=PIPE, stdout=PIPE, stderr=output
            )
        return cls(process, log)

    async def told(self) -> dict[str, Any]:
        """The next line of JSON; others are passed over. Raises RuntimeError, TimeoutError."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (line := await self.line()).startswith("{"):
                    pass
        except TimeoutError as error:
            raise TimeoutError(f"it said nothing for {PATIENCE_S:g} s") from error
        return dict(json.loads(line))

    async def line(self) -> str:
        """The next line. Raises RuntimeError if the process has ended."""
        assert self.process.stdout is not None
        if not (line := await self.process.stdout.readline()):
            raise RuntimeError(f"it ended: {self.log.read_text(errors='replace')[-2000:]}")
        return line.decode()

    async def ask(self, line: str) -> dict[str, Any]:
        """Send a line; its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        return await self.told()

    async def stop(self) -> None:
        """Close its input, then SIGTERM; kill it and its own children if that is not enough."""
        if self.process.returncode is not None:
            return
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
            for left in family:
                with suppress(psutil.NoSuchProcess):
                    left.kill()
