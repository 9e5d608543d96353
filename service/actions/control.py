"""What a user can do to a job: pause, resume, cancel, retry, change its priority, delete it; also many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.deps import Deps
from service.domain.errors import MillraceError, StateError
from service.domain.job import FINAL, Job, State
from service.store import jobs
from service.store.accounts import Caller
from service.store.database import Connection

Change = Callable[[Connection, UUID], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Wish:
    """A change asked for: its name, how to make it, and what allows it."""

    name: str
    change: Change
    needs: str


def pause() -> Wish:
    """Stop after the chunk in hand and keep everything."""
    return Wish("pause", jobs.pause, "it must wait or run")


def resume() -> Wish:
    """Go on from the checkpoint."""
    return Wish("resume", jobs.resume, "it must be paused")


def cancel(*, remove_rows: bool) -> Wish:
    """Stop for good after the chunk in hand; keep what is stored, or take it back."""
    return Wish("cancel", lambda db, job_id: jobs.cancel(db, job_id, remove_rows), "it must not have ended")


def retry(*, from_start: bool) -> Wish:
    """Run a failed or cancelled job again, from its checkpoint or from the start."""
    return Wish("retry", lambda db, job_id: jobs.retry(db, job_id, from_start), "it must have failed or been cancelled")


def prioritize(priority: int) -> Wish:
    """Change how urgent it is."""
    return Wish("priority", lambda db, job_id: jobs.prioritize(db, job_id, priority), "it must not have ended")


def delete() -> Wish:
    """Take an ended job out of sight; the rows that it stored stay."""
    return Wish("delete", jobs.remove, "it must have ended: cancel it first")


async def apply(deps: Deps, caller: Caller, job_id: UUID, wish: Wish) -> Job:
    """Do it, and return the job as it is then. Raises NotFound, StateError."""
    async with deps.database.transaction(caller.account_id) as db:
        before = await jobs.get(db, job_id)
        if not await wish.change(db, job_id):
            raise _refused(await jobs.get(db, job_id), wish)
        job = before if wish.name == "delete" else await jobs.get(db, job_id)
    deps.bus.notify((job_id, caller.account_id))
    await deps.bus.ask(job_id)
    if job.state is State.QUEUED:
        deps.dispatch.ring(job.queue, job_id)
    return job


async def apply_all(
    deps: Deps, caller: Caller, job_ids: Sequence[UUID], wish: Wish
) -> list[tuple[UUID, Job | MillraceError]]:
    """Do it to each job on its own; what became of each, in order."""
    results: list[tuple[UUID, Job | MillraceError]] = []
    for job_id in job_ids:
        try:
            results.append((job_id, await apply(deps, caller, job_id, wish)))
        except MillraceError as error:
            results.append((job_id, error))
    return results


def _refused(job: Job, wish: Wish) -> StateError:
    asked = f", and {job.control.value} is already asked for" if job.control else ""
    return StateError(
        "already_finished" if job.state in FINAL else "conflict",
        f"This job is {job.state.value}{asked}: {wish.name} is not possible now.",
        suggestion=f"For {wish.name}, {wish.needs}.",
    )
