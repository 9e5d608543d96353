"""Looks up the videos of a watch history at YouTube, if that is wanted, and tells what the history adds up to.

What is known of a video is kept for every account, so that each is asked for once. A job that is resumed goes on with
what is not known by then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.domain.job import Retry
from service.domain.processor import Processor, Report, Task


class Wanted(BaseModel):
    """The input: a dataset that a watch_history import has filled, and the zone of hours and weekdays."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    tz: str = Field("UTC", max_length=60)
    job_id: UUID | None = None
    look_up: bool = True


async def run(task: Task) -> AsyncGenerator[Report, None]:
    """One report for each request; the output is the statistics. Raises InputError, Deferred, Transient."""
    wanted = task.wanted(Wanted, 'For example {"dataset": "history", "tz": "Europe/Berlin"}.')
    history = task.stores.videos(wanted.dataset)
    counts = {name: int((task.cursor or {}).get(name) or 0) for name in ("available", "unavailable")}
    left = await history.begin() if wanted.look_up else 0
    total = left + sum(counts.values())
    yield Report(sum(counts.values()), total, "looking up", cursor=counts)
    while left:
        looked = await history.look_up()
        left = looked.left
        counts = {
            "available": counts["available"] + looked.available,
            "unavailable": counts["unavailable"] + looked.unavailable,
        }
        yield Report(total - left, total, "looking up", cursor=counts)
    yield Report(total, total, "adding up", cursor=counts)
    statistics = await history.statistics(wanted.tz)
    yield Report(output={"dataset": wanted.dataset, "looked_up": counts, **statistics})


processor = Processor(
    name="enrich_videos",
    title="YouTube's videos of a watch history, and its statistics",
    run=run,
    queue="io",
    unit="videos",
    retry=Retry(max_attempts=10, first_wait_s=5, longest_wait_s=600),
)
