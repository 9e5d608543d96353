"""Videos: what is known of them, for every account; the wishes of jobs to know more; the quota of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from service.domain.video import Video
from service.store.database import Connection
from service.store.queries import load
from service.store.tables import qualified

_SQL = load("video")
_OVER = load("video", "templates")

FRESH_S = 30 * 86_400.0
"""What is known is asked anew after so long."""
ASKED_S = 120.0
"""A request that got no answer for so long was somebody's who died."""
_FIELDS = ("id", "state", "source", "reason", "title", "channel", "channel_id", "duration_s", "published_at")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a watch history adds up to; hours and weekdays (1 is Monday) are those of the zone that was asked for."""

    watched: int
    videos: int
    unavailable: int
    not_looked_up: int
    duration_s: int
    with_duration: int
    first_at: datetime | None
    last_at: datetime | None
    kinds: dict[str, int]
    by_hour: dict[str, int]
    by_weekday: dict[str, int]
    top_channels: list[dict[str, Any]]


async def wish(db: Connection, job_id: UUID, table: str) -> None:
    """Note every video of a watch history for this job; once is enough."""
    await db.execute(_OVER["wish"].format(table=qualified(table)), job_id, FRESH_S)


async def left(db: Connection, job_id: UUID) -> int:
    """How many of the job's videos are not known."""
    found: int = await db.fetchval(_SQL["left"], job_id, FRESH_S)
    return found


async def take(db: Connection, job_id: UUID, limit: int) -> list[str]:
    """Some of them that nobody is asking about at the moment; from now on this job is."""
    return [row["id"] for row in await db.fetch(_SQL["take"], job_id, limit, ASKED_S, FRESH_S)]


async def keep(db: Connection, job_id: UUID, found: Sequence[Video]) -> None:
    """Remember what was answered; the job wishes to know no more of these."""
    await db.execute(_SQL["fulfil"], job_id, [video.id for video in found])
    await db.execute(_SQL["keep"], *([getattr(video, name) for video in found] for name in _FIELDS))


async def let_go(db: Connection, ids: Sequence[str]) -> None:
    """Nothing was answered: others may ask."""
    await db.execute(_SQL["let_go"], list(ids))


async def forget_wishes(db: Connection, job_id: UUID) -> None:
    """The job wants to know no more."""
    await db.execute(_SQL["forget_wishes"], job_id)


async def spend(db: Connection, day: date, units: int, most: int) -> bool:
    """Count units to a day; False, and nothing is counted, if it has no more."""
    return await db.fetchval(_SQL["spend"], day, units, most) is not None


async def use_up(db: Connection, day: date, most: int) -> None:
    """Nothing is left of this day, says YouTube."""
    await db.execute(_SQL["use_up"], day, most)


async def statistics(db: Connection, table: str, tz: str) -> Statistics:
    """What the history in this table adds up to."""
    row = await db.fetchrow(_OVER["statistics"].format(table=qualified(table)), tz)
    assert row is not None
    return Statistics(**row)
