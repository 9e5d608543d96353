"""One Millrace per data directory: a lock held by the service and, by inheritance, by each server it starts.

So a directory is free only when the last process that could write to it is gone, however the service ended.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.embedded.errors import EmbeddedError

POLL_S = 0.02
LEAVING_S = 1.0  # for a run that is just ending
ORPHANS_S = 15.0  # for the servers of a run that was killed: they end by themselves, after a last checkpoint


@asynccontextmanager
async def locked(data_dir: Path) -> AsyncIterator[int]:
    """Hold `data_dir/lock`; yields its descriptor. Raises EmbeddedError when another Millrace holds it."""
    fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(fd, data_dir)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield fd
    finally:
        os.close(fd)


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists, whoever's it is."""
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_server_in(pid: int, folder: Path) -> bool:
    """Whether this process is a live database server that works in this folder (its current directory)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink() == folder
        return False
    told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return str(folder) in told.stdout


def first_pid(path: Path) -> int:
    """The process id on a file's first line, 0 when there is none."""
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return 0


async def _acquire(fd: int, data_dir: Path) -> None:
    started, nudged = time.monotonic(), False
    while not _try(fd):
        owner = first_pid(data_dir / "lock")
        orphaned = not is_alive(owner)
        if orphaned and not nudged:
            _nudge(data_dir)
            nudged = True
        if time.monotonic() - started > (ORPHANS_S if orphaned else LEAVING_S):
            raise EmbeddedError(
                f"Another Millrace (process {owner}) uses the data directory {data_dir}: "
                "stop it, or set MILLRACE_DATA_DIR to another folder."
            )
        await asyncio.sleep(POLL_S)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _nudge(data_dir: Path) -> None:
    """Ask the servers of a killed run to end; on Linux they already were, elsewhere nobody else would."""
    for pid_file, folder, number in (
        (data_dir / "postgres" / "data" / "postmaster.pid", data_dir / "postgres" / "data", signal.SIGINT),
        (data_dir / "redis" / "redis.pid", data_dir / "redis", signal.SIGTERM),
    ):
        pid = first_pid(pid_file)
        if pid and is_server_in(pid, folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
