"""`python -m tests.acceptance.no_fence`: a worker that commits chunks under any epoch. A mutant, to test the tests.

Whoever runs a job first freezes before its third chunk, and so wakes up with a chunk that another one has committed.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from uuid import UUID

from service.domain.job import Control
from service.store import claims
from service.store.database import Connection
from workers.__main__ import main
from workers.committer import Committer
from workers.enclosures import Taken
from workers.frames import Frame
from workers.landing import Landing
from workers.pieces import Payload

FENCE = "where id = $1 and epoch = $2 and state = 'running'"
FROZEN_CHUNK = 3

Before = asyncio.Task[None] | None
Commit = Callable[[Committer, Landing, Frame, Payload, Before, list[Taken]], Awaitable[None]]


async def every_lease_is_ours(
    db: Connection, held: Sequence[tuple[UUID, int]], lease_s: float
) -> dict[tuple[UUID, int], Control | None]:
    """Believe in every lease; else a heartbeat that comes before the next commit would hide the missing fence."""
    await extend_leases(db, held, lease_s)
    return dict.fromkeys(held)


def freezing(commit: Commit) -> Commit:
    """Stop the process between two transactions; in one, it would be ended before the process wakes up."""
    chunks = count(1)

    async def commit_or_freeze(
        self: Committer, landing: Landing, frame: Frame, payload: Payload, before: Before, files: list[Taken]
    ) -> None:
        if before is not None:
            await asyncio.wait([before])  # one transaction at a time
        if self._claim.epoch == 1 and next(chunks) == FROZEN_CHUNK:
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # os.kill may let this thread go on a little
        await commit(self, landing, frame, payload, before, files)

    return commit_or_freeze


if __name__ == "__main__":
    statement = claims._SQL["advance"]
    assert FENCE in statement
    claims._SQL["advance"] = statement.replace(FENCE, "where id = $1 and $2::integer > 0")  # type: ignore[index]
    extend_leases, claims.extend_leases = claims.extend_leases, every_lease_is_ours
    Committer._commit = freezing(Committer._commit)  # type: ignore[method-assign]
    main()
