"""Runs jobs that read no file: a processor's reports, each stored under the fence, until the one with the output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from service.domain.errors import Transient
from service.domain.processor import Processor, Report, Task
from service.store import claims
from service.store.claims import Claim, Settlement
from workers import outcome
from workers.committer import Interrupted
from workers.stores import JobStores
from workers.tools import Tools

NOTHING = Report()

REPORT_EVERY_S = 0.25
"""Progress alone is stored no oftener; a cursor or a new phase is stored at once."""


async def work(tools: Tools, claim: Claim, processor: Processor) -> Settlement:
    """Run the processor to its end. Raises LeaseLost, Interrupted, Transient, or what the processor raises."""
    assert processor.run is not None
    deadline_s = claim.retry.deadline_s or tools.settings.chunk_deadline_s
    options = processor.options.model_validate(claim.options)
    task = Task(claim.input, options, claim.cursor, JobStores(tools, claim))
    stored, stored_at = NOTHING, 0.0
    reports = processor.run(task)
    try:
        while True:
            report = await _next(reports, deadline_s)
            if report is None:
                return outcome.DONE
            if report.output is not None:
                return outcome.done(report.output)
            if report.cursor or report.phase != stored.phase or time.monotonic() > stored_at + REPORT_EVERY_S:
                await _store(tools, claim, report)
                stored, stored_at = report, time.monotonic()
    finally:
        await reports.aclose()


async def _next(reports: AsyncGenerator[Report, None], deadline_s: float) -> Report | None:
    """What asyncio.timeout does, in a third of its time: most processors report at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    assert task is not None
    others, is_late = task.cancelling(), False

    def end() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = loop.call_later(deadline_s, end)
    try:
        return await anext(reports, None)
    except asyncio.CancelledError:
        if is_late and task.cancelling() == others + 1:
            raise _stuck(deadline_s) from None
        raise
    finally:
        timer.cancel()
        if is_late:
            task.uncancel()


async def _store(tools: Tools, claim: Claim, report: Report) -> None:
    async with tools.database.transaction() as db:
        control = await claims.report(
            db,
            claim,
            cursor=report.cursor,
            done=report.done,
            total=report.total,
            phase=report.phase,
            message=report.message,
        )
    tools.bus.notify(claim.changed)
    if control is not None:
        raise Interrupted


def _stuck(deadline_s: float) -> Transient:
    return Transient(
        "no_progress",
        f"The processor reported nothing for {deadline_s:g} seconds and was stopped.",
        suggestion="It tries again by itself. If it always takes so long, give the job a longer retry.deadline_s.",
    )
