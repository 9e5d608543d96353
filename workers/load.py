"""How busy this worker is: what it and the children that read files take of the machine.

Read from /proc, so exact on Linux; elsewhere memory is the most that was ever taken, and children count once they have
ended.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
FORKED = b"\0workers.forkserver\0"


class Meter:
    """Cores taken since the last look, and memory now."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._spent_s = {pid: spent_s for pid, spent_s, _ in _processes()}

    def read(self) -> tuple[float, int]:
        """Cores, on average since the last call, and resident bytes."""
        now, found = time.monotonic(), list(_processes())
        taken_s = sum(max(0.0, spent_s - self._spent_s.get(pid, 0.0)) for pid, spent_s, _ in found)
        cores = taken_s / max(now - self._at, 0.001)
        self._at, self._spent_s = now, {pid: spent_s for pid, spent_s, _ in found}
        return cores, sum(rss_bytes for _, _, rss_bytes in found)


def host_load() -> tuple[float, ...]:
    """Processes that run or want to, on average over 1, 5 and 15 minutes."""
    return os.getloadavg()


def _processes() -> Iterator[tuple[int, float, int]]:
    """Process id, seconds of processor time and resident bytes of this process and the children that read files."""
    if not sys.platform.startswith("linux"):
        mine, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s = mine.ru_utime + mine.ru_stime + ended.ru_utime + ended.ru_stime
        yield os.getpid(), spent_s, mine.ru_maxrss
        return
    for pid in (os.getpid(), *_children()):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        yield pid, (int(fields[11]) + int(fields[12])) * TICK_S, int(fields[21]) * PAGE_BYTES


def _children() -> Iterator[int]:
    """Not the embedded servers, which are children too where all runs in one process."""
    for child in _children_of("self"):
        if FORKED in _text(Path(f"/proc/{child}/cmdline")):
            yield child
            yield from _children_of(child)


def _children_of(process: int | str) -> Iterator[int]:
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        yield from map(int, _text(listed).split())


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
