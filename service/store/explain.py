"""What surrounds a job: its place in the queue, its worker, its next time. The job itself is `jobs.get`."""

from __future__ import annotations

from uuid import UUID

from service.domain.errors import NotFound
from service.domain.explain import MAX_OBSTACLES, Circumstances, Obstacle
from service.domain.job import State
from service.store.database import Connection
from service.store.queries import load

_SQL = load("explain")


async def circumstances(db: Connection, job_id: UUID) -> Circumstances:
    """What surrounds a job of the caller at this moment. Raises NotFound."""
    row = await db.fetchrow(_SQL["circumstances"], job_id, MAX_OBSTACLES)
    if row is None:
        raise NotFound("job", job_id)
    found = [Obstacle(UUID(o["id"]), State(o["state"]), o["step"]) for o in row["obstacles"] or ()]
    return Circumstances(**{**row, "is_held": bool(row["is_held"]), "obstacles": tuple(found)})
