"""What YouTube says about videos: by its Data API with a key, fifty a request; without one by oEmbed, one a request.

A video that is not there is an answer. What is no answer is raised: Deferred where it is known when to ask again,
Transient where not, InputError where asking again is no use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.domain.errors import Deferred, InputError, Transient
from service.domain.video import Video, quota_resets_at
from workers.clients.pace import Breaker, Pace

BATCH = 50
"""Ids that one request of the Data API may name."""
BATCH_WITHOUT_KEY = 10
TIMEOUT_S = 20.0
MOST_BYTES = 4 * 1024 * 1024
MOST_REST_S = 3_600.0
"""A Retry-After that is longer is not believed."""
REST_S = 60.0
OVER_QUOTA = ("quotaExceeded", "dailyLimitExceeded")
TOO_OFTEN = ("rateLimitExceeded", "userRateLimitExceeded")
NOT_THERE: Mapping[int, str] = {400: "unknown", 403: "private", 404: "unknown"}
"""What oEmbed means by these."""

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_CHANNEL = re.compile(r"/channel/(UC[\w-]{10,40})")


class YouTube:
    """One for a worker process, so that all of its jobs keep one pace and one breaker."""

    def __init__(self, client: httpx.AsyncClient, key: str, api_url: str, oembed_url: str, rate: float) -> None:
        self._client = client
        self._key = key
        self._api_url = f"{api_url.rstrip('/')}/youtube/v3/videos"
        self._oembed_url = oembed_url
        self._pace = Pace(1 / rate)
        self._breaker = Breaker("YouTube")

    @property
    def batch(self) -> int:
        """How many ids one `look_up` takes."""
        return BATCH if self._key else BATCH_WITHOUT_KEY

    @property
    def units(self) -> int:
        """What one `look_up` costs of a day's quota."""
        return 1 if self._key else 0

    async def look_up(self, ids: Sequence[str]) -> list[Video]:
        """What is known of each of these videos, in their order. Raises Deferred, Transient, InputError."""
        if self._key:
            return await self._by_api(ids)
        return [await self._by_oembed(video_id) for video_id in ids]

    async def _by_api(self, ids: Sequence[str]) -> list[Video]:
        asked = {"part": "snippet,contentDetails,status", "id": ",".join(ids), "key": self._key, "maxResults": "50"}
        status, told = await self._get(self._api_url, asked)
        if status != 200:
            raise _refusal(status, told)
        items = told.get("items") if isinstance(told, dict) else None
        if not isinstance(items, list):
            raise self._odd("an answer without items")
        found = {video.id: video for item in items if (video := _video(item)) is not None}
        return [found.get(each) or Video(each, "unavailable", "api", "removed_or_private") for each in ids]

    async def _by_oembed(self, video_id: str) -> Video:
        asked = {"format": "json", "url": f"https://www.youtube.com/watch?v={video_id}"}
        status, told = await self._get(self._oembed_url, asked)
        if status == 401:
            return Video(video_id, "available", "oembed", "not_embeddable")
        if status in NOT_THERE:
            return Video(video_id, "unavailable", "oembed", NOT_THERE[status])
        if status != 200:
            raise self._odd(f"status {status}")
        if not isinstance(told, dict) or not isinstance(told.get("title"), str):
            return Video(video_id, "unavailable", "oembed", "forbidden")  # it answers 200 with the text Forbidden
        channel = _CHANNEL.search(str(told.get("author_url")))
        author = told.get("author_name")
        return Video(
            video_id,
            "available",
            "oembed",
            title=_plain(told["title"]),
            channel=_plain(author) if isinstance(author, str) else None,
            channel_id=channel[1] if channel else None,
        )

    async def _get(self, url: str, parameters: Mapping[str, str]) -> tuple[int, Any]:
        """The status, and the JSON of the body, None if it is none; 429 and 5xx are raised."""
        self._breaker.check()
        await self._pace.turn()
        try:
            async with self._client.stream("GET", url, params=parameters, timeout=TIMEOUT_S) as answer:
                status, body = answer.status_code, await _body(answer)
        except httpx.HTTPError as error:
            raise self._odd(type(error).__name__) from error
        if status == 429 or status >= 500:
            raise self._pushed_back(status, answer.headers.get("retry-after"))
        self._breaker.succeeded()
        try:
            return status, json.loads(body)
        except (ValueError, RecursionError):
            return status, None

    def _pushed_back(self, status: int, retry_after: str | None) -> Transient:
        rest_s = _seconds(retry_after)
        if rest_s is None and status != 429:
            return self._odd(f"status {status}")
        rest_s = min(rest_s or REST_S, MOST_REST_S)
        self._breaker.rest(rest_s)
        return Deferred(
            "upstream_resting",
            f"YouTube asks to be left alone (status {status}); it goes on in {rest_s:.0f} s.",
            suggestion="Nothing to do.",
            retry_after_s=rest_s,
        )

    def _odd(self, what: str) -> Transient:
        self._breaker.failed()
        return Transient(
            "upstream_unavailable",
            f"YouTube gave no usable answer ({what}).",
            suggestion="It tries again by itself; check that this machine reaches YouTube.",
        )


def over_quota(now: datetime) -> Deferred:
    """Nothing more is answered on this day."""
    reset = quota_resets_at(now).astimezone(UTC)
    return Deferred(
        "quota_used_up",
        f"Today's quota of YouTube's Data API is used up; it goes on at {reset:%Y-%m-%d %H:%M} UTC.",
        suggestion="Wait, or ask Google for a larger quota and raise MILLRACE_YOUTUBE_DAILY_UNITS.",
        retry_after_s=max((reset - now).total_seconds(), 1),
    )


def _refusal(status: int, told: Any) -> Exception:
    reason, message = _reason(told)
    if reason in OVER_QUOTA:
        return over_quota(datetime.now(UTC))
    if reason in TOO_OFTEN:
        return Deferred("upstream_resting", f"YouTube says {reason}; it goes on soon.", retry_after_s=REST_S)
    if reason in ("keyInvalid", "API_KEY_INVALID", "badRequest") or status == 400:
        return InputError(
            "youtube_key_refused",
            f"YouTube refuses the key: {message or reason}.",
            suggestion="Check MILLRACE_YOUTUBE_KEY; without one, oEmbed is asked.",
        )
    if status in (401, 403):
        return InputError(
            "youtube_key_refused",
            f"YouTube refuses: {message or reason or status}.",
            suggestion="Allow the YouTube Data API v3 for this key and this machine's address.",
        )
    return Transient("upstream_unavailable", f"YouTube answered {status} ({reason or 'no reason'}).")


def _reason(told: Any) -> tuple[str, str]:
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, dict):
        return "", ""
    listed = [*_dicts(error.get("errors")), *_dicts(error.get("details"))]
    reasons = [str(each["reason"]) for each in listed if "reason" in each]
    return (reasons or [str(error.get("status", ""))])[0], _plain(str(error.get("message", "")))[:200].rstrip(".")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _video(item: Any) -> Video | None:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return None
    snippet, details = (_dicts([item.get(part)]) for part in ("snippet", "contentDetails"))
    said = {name: value for part in (snippet, details) for each in part for name, value in each.items()}
    texts = [said.get(name) for name in ("title", "channelTitle", "channelId", "publishedAt")]
    title, channel, channel_id, published = (_plain(text) if isinstance(text, str) else None for text in texts)
    return Video(
        item["id"],
        "available",
        "api",
        title=title,
        channel=channel,
        channel_id=channel_id,
        duration_s=_duration_s(str(said.get("duration", ""))),
        published_at=_moment(published),
    )


def _duration_s(text: str) -> int | None:
    """ISO 8601, as YouTube has it; None for what is live."""
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return min(((days * 24 + hours) * 60 + minutes) * 60 + seconds, 2**31 - 1) or None


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((moment - datetime.now(moment.tzinfo or UTC).astimezone(moment.tzinfo)).total_seconds(), 0.0)


def _plain(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


async def _body(answer: httpx.Response) -> bytes:
    found = bytearray()
    async for piece in answer.aiter_bytes():
        found += piece
        if len(found) > MOST_BYTES:
            raise httpx.DecodingError("the answer is too long")
    return bytes(found)
