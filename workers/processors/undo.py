"""Takes back what another job has stored: rows that it made are removed, rows that it changed are as they were."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from service.domain.processor import Processor, Report, Task


class Wanted(BaseModel):
    """The input of an undo."""

    model_config = ConfigDict(extra="forbid")

    job_id: UUID


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """One report for each range of rows taken back; the output counts those removed, restored and kept."""
    job_id, cursor = task.wanted(Wanted, "Use POST /v1/jobs/{id}/undo, which makes such a job.").job_id, task.cursor
    while True:
        report = await task.stores.take_back(job_id, cursor)
        yield report
        if report.output is not None:
            return
        cursor = report.cursor


processor = Processor(
    name="undo",
    title="What another job has stored, taken back",
    run=run,
    queue="cpu",  # slots and connections of the worker are counted by it; of `io` there are too many
    unit="rows",
)
