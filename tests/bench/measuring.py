"""Measures the service and its children from outside: processor time and peak memory, by kind of process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

SAMPLE_S = 0.25
"""Looking costs processor time itself."""


@dataclass
class Usage:
    """What processes of one kind used: processor seconds by pid, and the largest single one's peak in MiB."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    peak_mib: float = 0

    @property
    def total_cpu_s(self) -> float:
        """Processor time of them all."""
        return sum(self.cpu_s.values())


@contextmanager
def watched(service_pid: int) -> Iterator[dict[str, Usage]]:
    """Watch the service, its PostgreSQL (`postgres`) and the processor's child (`child`) while the block runs."""
    usage = {"service": Usage(), "postgres": Usage(), "child": Usage()}
    before = {pid: cpu_s for pid, _, cpu_s, _ in _sample(service_pid)}
    done = threading.Event()

    def look() -> None:
        for pid, kind, cpu_s, rss_mib in _sample(service_pid):
            usage[kind].cpu_s[pid] = cpu_s - before.get(pid, 0.0)
            usage[kind].peak_mib = max(usage[kind].peak_mib, rss_mib)

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield usage
    finally:
        done.set()
        watcher.join()
        look()


def _sample(service_pid: int) -> list[tuple[int, str, float, float]]:
    service = psutil.Process(service_pid)
    found = []
    for process in (service, *service.children(recursive=True)):
        with suppress(psutil.Error), process.oneshot():
            if kind := _kind(process, service_pid):
                times = process.cpu_times()
                found.append((process.pid, kind, times.user + times.system, process.memory_info().rss / 2**20))
    return found


def _kind(process: psutil.Process, service_pid: int) -> str | None:
    if process.pid == service_pid:
        return "service"
    command = process.cmdline()
    if "workers.forkserver" in command:
        return "child"
    if not command or "autovacuum" in command[0]:  # it comes for what was written before, by whomever
        return None
    return "postgres" if "postgres" in command[0] else None
