"""Measures processes from outside: processor time and peak memory, by process tree."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil


@dataclass
class Usage:
    """What a group of processes used: processor seconds, and the largest single process's peak in MiB."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    peak_mib: float = 0

    @property
    def total_cpu_s(self) -> float:
        """Processor time of the group."""
        return sum(self.cpu_s.values())


@contextmanager
def watched(**groups: int) -> Iterator[dict[str, Usage]]:
    """Watch process trees by name and root pid. A root's children of other names are left to their own group."""
    usage = {name: Usage() for name in groups} | {"child": Usage()}
    before = _sample(groups)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for (group, pid), (cpu_s, rss_mib) in _sample(groups).items():
                used = usage[group]
                used.cpu_s[pid] = cpu_s - before.get((group, pid), (0.0, 0.0))[0]
                used.peak_mib = max(used.peak_mib, rss_mib)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield usage
    finally:
        done.set()
        watcher.join()


def _sample(groups: dict[str, int]) -> dict[tuple[str, int], tuple[float, float]]:
    found = {}
    for group, root in groups.items():
        for process in _tree(root, with_children=group == "postgres"):
            found |= _reading(group, process)
    for child in psutil.Process(groups["service"]).children():
        with suppress(psutil.Error):
            if "workers.child" in child.cmdline():
                found |= _reading("child", child)
    return found


def _tree(root: int, with_children: bool) -> list[psutil.Process]:
    process = psutil.Process(root)
    return [process, *process.children()] if with_children else [process]


def _reading(group: str, process: psutil.Process) -> dict[tuple[str, int], tuple[float, float]]:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return {(group, process.pid): (times.user + times.system, process.memory_info().rss / 2**20)}
    return {}
