"""A video of YouTube as its owner describes it, and the day on which YouTube counts requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
"""Quotas are those of a day there."""


@dataclass(frozen=True, slots=True)
class Video:
    """What is known of a video; `reason` says why there is no more, where it is not there or shows nothing."""

    id: str
    state: Literal["available", "unavailable"]
    source: Literal["api", "oembed"]
    reason: str | None = None
    title: str | None = None
    channel: str | None = None
    channel_id: str | None = None
    duration_s: int | None = None
    published_at: datetime | None = None


def quota_day(now: datetime) -> date:
    """The day to which a request counts."""
    return now.astimezone(PACIFIC).date()


def quota_resets_at(now: datetime) -> datetime:
    """When the next such day begins."""
    following = quota_day(now) + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=PACIFIC)
