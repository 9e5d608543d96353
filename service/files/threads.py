"""The bounded pool of threads in which files are read and written: a slow disk holds up nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


NICE = 10
"""The threads' share when processors are scarce: what answers requests and tells events is not to wait for them."""


class Threads:
    """So many threads, and how many bodies they are taking in."""

    def __init__(self, count: int) -> None:
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="files", initializer=_give_way)
        self.bodies = 0

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Call a function in a thread."""
        return asyncio.get_running_loop().run_in_executor(self.pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let the threads end."""
        self.pool.shutdown(wait=False)


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere it is not for a thread to be nice by itself
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICE)
