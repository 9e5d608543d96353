"""Whether what a job has stored can be taken back, and if not, why not and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.errors import StateError
from service.domain.job import FINAL, State


@dataclass(frozen=True, slots=True)
class Undoable:
    """A job as an undo finds it.

    `landed_in` is the table of its rows and `table_name` the one that its dataset shows; `former` the one that it has
    shown before, where the job was a replace and that is still kept. `later` have stored rows behind a replace.
    """

    id: UUID
    state: State
    dataset_id: UUID | None
    read: int
    stored: int
    landed_in: str | None
    table_name: str | None
    is_removed: bool
    former: str | None
    later: tuple[UUID, ...]
    undone_at: datetime | None
    undone_by: UUID | None
    undo_is_live: bool
    undo_expired_at: datetime | None
    corrects_id: UUID | None = None
    corrected_by: UUID | None = None


def refusal(job: Undoable, undo_id: UUID | None = None) -> StateError | None:
    """Why the job cannot be undone now, None if it can; `undo_id` is the undo that asks, if it exists by now."""
    if job.state not in FINAL:
        return StateError("conflict", f"This job is {job.state.value}.", suggestion="Cancel it first.")
    if job.corrects_id is not None:
        return StateError(
            "cannot_undo",
            f"This job has corrected rows of job {job.corrects_id}, which are that job's now.",
            suggestion=f"POST /v1/jobs/{job.corrects_id}/undo",
        )
    if job.undone_at is not None:
        return StateError("already_undone", f"Job {job.undone_by} has undone this one.")
    if job.undo_is_live and job.undone_by != undo_id:
        return StateError("conflict", f"Job {job.undone_by} is undoing this one.", suggestion="Wait for its end.")
    if job.corrected_by is not None:
        return StateError("conflict", f"Job {job.corrected_by} is correcting this one.", suggestion="Wait for its end.")
    if job.dataset_id is None or job.stored == 0:
        return StateError("cannot_undo", "This job has stored no rows, so there is nothing to take back.")
    if job.is_removed:
        return StateError("cannot_undo", "The dataset of this job was deleted.")
    if job.undo_expired_at is not None:
        return StateError(
            "undo_expired",
            "What this job has changed or replaced is no longer kept.",
            suggestion="Import the earlier file again. MILLRACE_KEEP_UNDO_S says how long an undo is possible.",
        )
    if job.landed_in not in (None, job.table_name):
        return StateError(
            "cannot_undo",
            "The dataset no longer shows what this job has stored, or never did: it was replaced.",
            suggestion="Undo the job that replaced it first, if there is one.",
        )
    if job.former is not None and job.later:
        return StateError(
            "cannot_undo",
            f"Other jobs have stored rows since this one replaced the dataset: {', '.join(map(str, job.later[:5]))}.",
            suggestion="Undo those first.",
        )
    return None
