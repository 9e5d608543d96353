"""`python -m tests.bench.noop service api`, `… workers`: the ordinary processes with a processor that does nothing."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel

from service.domain.processor import Processor
from tests.bench.peers.protocol import Tally
from workers import registry

tally = Tally()


class Sent(BaseModel):
    """When the job was submitted, in seconds since 1970; 0 where nobody asks how long it waited."""

    sent: float = 0


async def run(work: Any) -> None:
    """Do nothing, but tell the bench."""
    tally.note(work.options.sent)


if "run" in Processor.__dataclass_fields__:
    NOOP: Processor | None = Processor(name="noop", title="Nothing", run=run, options=Sent)  # type: ignore[call-arg]
else:
    NOOP = None  # stand-in until the contract has `run`


if __name__ == "__main__":
    discover = registry.discover
    if NOOP is not None:
        registry.discover = lambda: discover() | {NOOP.name: NOOP}
    which, *arguments = sys.argv[1:]
    if which == "workers":
        from workers.__main__ import main as work

        work()
    else:
        from service.__main__ import main as serve

        serve(arguments)
