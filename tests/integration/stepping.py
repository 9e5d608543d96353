"""`python -m tests.integration.stepping`: a worker whose `echo` takes many steps, or hangs, as its input says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from service.domain.processor import Report, Task
from workers import registry
from workers.__main__ import main


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """Count to `steps`, with a checkpoint at each."""
    if task.input.get("hang"):
        await asyncio.Event().wait()
    first = int((task.cursor or {}).get("step") or 0)
    for step in range(first + 1, task.input["steps"] + 1):
        await asyncio.sleep(0.005)  # as a processor that waits for somebody else
        yield Report(done=step, total=task.input["steps"], phase="stepping", cursor={"step": step})
    yield Report(output={"steps": task.input["steps"], "began_at": first})


if __name__ == "__main__":
    discover = registry.discover
    stepping = {"echo": replace(discover()["echo"], run=run)}
    from workers import work

    work.discover = lambda: discover() | stepping
    main()
