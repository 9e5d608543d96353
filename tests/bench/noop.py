"""`python -m tests.bench.noop service api`, `… workers`: the ordinary processes with a processor that does nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator

from pydantic import BaseModel

from service.domain.processor import Processor, Report, Task
from tests.bench.peers.protocol import Tally
from workers import registry

tally = Tally()


class Sent(BaseModel):
    """When the job was submitted, in seconds since 1970; 0 where nobody asks how long it waited."""

    sent: float = 0


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """Do nothing, but tell the bench."""
    assert isinstance(task.options, Sent)
    tally.note(task.options.sent)
    yield Report(output={})


NOOP = Processor(name="noop", title="Nothing", run=run, options=Sent, queue="io", unit="steps")


if __name__ == "__main__":
    discover = registry.discover
    registry.discover = lambda: discover() | {NOOP.name: NOOP}
    which, *arguments = sys.argv[1:]
    if which == "workers":
        from workers.__main__ import main as work

        work()
    else:
        from service.__main__ import main as serve

        serve(arguments)
