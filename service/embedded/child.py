"""One server as a supervised child process: start, wait until ready, restart when it dies, stop in order.

It lives in its own session (Ctrl-C reaches only us) and dies with us, even by kill -9 (see launch.py). It inherits the
lock on the data directory, so the directory stays taken until the last server process is really gone.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.embedded.errors import FULL, EmbeddedError, full

log = structlog.get_logger(__name__)

LAUNCH = Path(__file__).with_name("launch.py")
READY_TIMEOUT_S = 120.0  # recovery after a crash may replay up to max_wal_size
READY_POLL_S = 0.01
LOG_LIMIT_BYTES = 16 * 1024 * 1024
LOG_CHECK_S = 60.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
HEALTHY_S = 60.0


@dataclass(slots=True)
class Child:
    """What one server is, and its process once started."""

    name: str
    data_dir: Path
    command: Sequence[str]
    identity: str
    death_signal: signal.Signals
    stop_signals: Sequence[tuple[signal.Signals, float]]  # with the seconds each is given
    ready: Callable[[], Awaitable[bool]]
    lock_fd: int
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def log_path(self) -> Path:
        """Where its output goes; the one before is kept beside it as `.1`."""
        return self.data_dir / f"{self.name}.log"

    async def start(self) -> None:
        """Return once it answers. Raises EmbeddedError with the last words of its log."""
        bound(self.log_path)
        offset = size_of(self.log_path)
        self.process = await spawn(self.command, self.identity, self.death_signal, self.log_path, self.lock_fd)
        deadline = time.monotonic() + READY_TIMEOUT_S
        wait_s = READY_POLL_S
        while self.process.returncode is None and time.monotonic() < deadline:
            if await self.ready():
                return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.2, 0.25)
        await self.stop()
        raise died(self.name, self.data_dir, self.log_path, offset)

    async def keep(self) -> None:
        """Restart it whenever it dies, with back-off, until cancelled."""
        failures = 0
        while True:
            born = time.monotonic()
            returncode = await self._ended()
            failures = 0 if time.monotonic() - born > HEALTHY_S else failures
            log.warning("embedded.died", server=self.name, returncode=returncode)
            while True:
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1
                try:
                    await self.start()
                except (EmbeddedError, OSError) as error:
                    log.error("embedded.restart_failed", server=self.name, failures=failures, reason=str(error))
                else:
                    log.warning("embedded.restarted", server=self.name, failures=failures)
                    break

    async def stop(self) -> None:
        """Ask, ask harder, kill; return when it is gone."""
        for number, grace_s in (*self.stop_signals, (signal.SIGKILL, 5.0)):
            if self.process is None or self.process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), grace_s)

    async def _ended(self) -> int:
        """Wait for the process to end, holding its log to a size meanwhile."""
        assert self.process is not None
        while self.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), LOG_CHECK_S)
            with contextlib.suppress(OSError):  # a full disk must not end the supervision
                bound(self.log_path)
        return self.process.returncode


async def spawn(
    command: Sequence[str], identity: str, death_signal: signal.Signals, log_path: Path, lock_fd: int | None = None
) -> asyncio.subprocess.Process:
    """Start `command` through launch.py, its output appended to `log_path`."""
    fd = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(LAUNCH),
            str(os.getpid()),
            str(int(death_signal)),
            identity,
            "--",
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            env=_environment(),
            start_new_session=True,
            pass_fds=() if lock_fd is None else (lock_fd,),
        )
    finally:
        os.close(fd)


def died(name: str, data_dir: Path, log_path: Path, offset: int) -> EmbeddedError:
    """The sentence for a server that ended before it was ready, from what it logged after `offset`."""
    with log_path.open("rb") as file:
        file.seek(max(offset, size_of(log_path) - 65_536))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if any(FULL in line for line in lines):
        return full(data_dir)
    told = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror:", "# "))]
    reason = (told or lines or ["it said nothing"])[-1].rstrip(".")
    return EmbeddedError(
        f"The embedded {name} did not start ({reason}): see {log_path}, "
        f"or set MILLRACE_{'REDIS' if name == 'redis' else 'DATABASE'}_URL to a server of your own."
    )


def bound(log_path: Path) -> None:
    """Move what a log over the limit holds to `<name>.1`; its writer appends, so it goes on at zero."""
    if size_of(log_path) > LOG_LIMIT_BYTES:
        shutil.copyfile(log_path, log_path.with_name(log_path.name + ".1"))
        os.truncate(log_path, 0)


def size_of(path: Path) -> int:
    """Bytes in a file, 0 when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _environment() -> dict[str, str]:
    # why: PG* would redirect the server's own tools, and a foreign LANG makes its messages and its start vary
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}
