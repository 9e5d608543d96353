"""Takes back what another job has stored: rows that it made are removed, rows that it changed are as they were."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from service.domain.errors import InputError, faults_of
from service.domain.processor import Processor, Report, Task


class Wanted(BaseModel):
    """The input of an undo."""

    model_config = ConfigDict(extra="forbid")

    job_id: UUID


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """One report for each range of rows taken back; the output counts those removed, restored and kept."""
    job_id, cursor = _wanted(task).job_id, task.cursor
    while True:
        report = await task.stores.take_back(job_id, cursor)
        yield report
        if report.output is not None:
            return
        cursor = report.cursor


def _wanted(task: Task) -> Wanted:
    try:
        return Wanted.model_validate(task.input)
    except ValidationError as error:
        raise InputError(
            "invalid_input",
            f"The input does not fit: {faults_of(error, 'input')}.",
            suggestion="Use POST /v1/jobs/{id}/undo, which makes such a job.",
        ) from error


processor = Processor(
    name="undo",
    title="What another job has stored, taken back",
    run=run,
    queue="cpu",  # slots and connections of the worker are counted by it; of `io` there are too many
    unit="rows",
)
