"""`python -m tests.acceptance.no_fence`: a worker that commits chunks under any epoch. A mutant, to test the tests."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from service.domain.job import Control
from service.store import claims
from service.store.database import Connection
from workers.__main__ import main

FENCE = "where id = $1 and epoch = $2 and state = 'running'"


async def every_lease_is_ours(
    db: Connection, held: Sequence[tuple[UUID, int]], lease_s: float
) -> dict[tuple[UUID, int], Control | None]:
    """Believe in every lease; else a heartbeat that comes before the next commit would hide the missing fence."""
    await extend_leases(db, held, lease_s)
    return dict.fromkeys(held)


if __name__ == "__main__":
    statement = claims._SQL["advance"]
    assert FENCE in statement
    claims._SQL["advance"] = statement.replace(FENCE, "where id = $1 and $2::integer > 0")  # type: ignore[index]
    extend_leases, claims.extend_leases = claims.extend_leases, every_lease_is_ours
    main()
