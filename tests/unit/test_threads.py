from __future__ import annotations

import os
import sys
import threading

import pytest

from service.files.threads import NICE, Threads


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread can be nice by itself")
async def test_threads_that_write_files_give_way_and_nobody_else_does() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    threads = Threads(1)
    try:
        inside = await threads.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    finally:
        threads.close()
    assert (inside, os.getpriority(os.PRIO_PROCESS, 0)) == (min(before + NICE, 19), before)
