"""Gives its input back as its output: to try a deployment, a schedule or a flow without a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from service.domain.processor import Processor, Report, Task


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """One report, with the input as output."""
    yield Report(done=1, total=1, output=task.input)


processor = Processor(name="echo", title="Its own input, given back", run=run, queue="io", unit="steps")
