"""Looks up the videos of a watch history, each once for all accounts and under a quota, and adds the history up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.domain.dataset import Dataset
from service.domain.errors import Deferred, InputError
from service.domain.processor import Looked
from service.domain.video import quota_day
from service.store import datasets, videos
from service.store.claims import Claim
from workers.clients.youtube import YouTube, over_quota
from workers.tools import Tools

NEEDED = ("at", "kind", "video_id", "channel", "channel_id")
WAIT_S = 1.0
"""Between looks at videos that another job is asking about."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class JobVideos:
    """The videos of one dataset, for one attempt."""

    def __init__(self, tools: Tools, claim: Claim, youtube: YouTube, dataset: str) -> None:
        self._tools = tools
        self._claim = claim
        self._youtube = youtube
        self._name = dataset
        self._left = 0

    async def begin(self) -> int:
        """Note which videos are wanted; how many of them are not known. Raises NotFound, InputError."""
        found = await self._dataset()
        async with self._tools.database.transaction() as db:
            await videos.wish(db, self._claim.job_id, found.table_name)
            self._left = await videos.left(db, self._claim.job_id)
        return self._left

    async def look_up(self) -> Looked:
        """Ask about some of them. Raises Deferred, Transient, InputError."""
        job_id = self._claim.job_id
        async with self._tools.database.transaction() as db:
            ids = await videos.take(db, job_id, self._youtube.batch)
            if not ids:
                self._left = await videos.left(db, job_id)
        if not ids:
            if self._left:
                await asyncio.sleep(WAIT_S)  # another job is asking about them
            return Looked(0, 0, self._left)
        try:
            await self._spend()
            found = await self._youtube.look_up(ids)
        except BaseException as error:
            async with self._tools.database.transaction() as db:
                await videos.let_go(db, ids)
                if isinstance(error, Deferred) and error.code == "quota_used_up":
                    await videos.use_up(db, quota_day(datetime.now(UTC)), self._tools.settings.youtube_daily_units)
            raise
        async with self._tools.database.transaction() as db:
            await videos.keep(db, job_id, found)
        self._left = max(self._left - len(ids), 0)
        there = sum(video.state == "available" for video in found)
        return Looked(there, len(found) - there, self._left)

    async def statistics(self, tz: str) -> Mapping[str, Any]:
        """What the history adds up to, as JSON. Raises NotFound, InputError."""
        zone, found = _zone(tz), await self._dataset()
        async with self._tools.database.transaction() as db:
            told = asdict(await videos.statistics(db, found.table_name, zone))
            await videos.forget_wishes(db, self._claim.job_id)
        shorts, watched = told["kinds"].get("short", 0), told["watched"]
        return {
            **told,
            "first_at": told["first_at"] and told["first_at"].isoformat(),
            "last_at": told["last_at"] and told["last_at"].isoformat(),
            "shorts_share": round(shorts / watched, 4) if watched else None,
            "by_hour": [told["by_hour"].get(str(hour), 0) for hour in range(24)],
            "by_weekday": {day: told["by_weekday"].get(str(n), 0) for n, day in enumerate(WEEKDAYS, start=1)},
            "time_zone": zone,
        }

    async def _spend(self) -> None:
        """Count the request before it goes out, for it counts at YouTube whatever becomes of it. Raises Deferred."""
        if not (units := self._youtube.units):
            return
        now, most = datetime.now(UTC), self._tools.settings.youtube_daily_units
        async with self._tools.database.transaction() as db:
            has_some = units <= most and await videos.spend(db, quota_day(now), units, most)
        if not has_some:
            raise over_quota(now)

    async def _dataset(self) -> Dataset:
        async with self._tools.database.connection() as db:
            found = await datasets.of_account(db, self._claim.account_id, self._name)
        if found.columns is None or not set(NEEDED) <= {column.name for column in found.columns}:
            raise InputError(
                "schema_mismatch",
                f"{self._name} is no watch history: it lacks one of the columns {', '.join(NEEDED)}.",
                suggestion="Name the dataset of a watch_history import.",
            )
        return found


def _zone(tz: str) -> str:
    try:
        return ZoneInfo(tz).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            "invalid_input", f"{tz[:60]!r} names no time zone.", suggestion="For example Europe/Berlin."
        ) from None
