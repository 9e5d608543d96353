"""Videos of watch histories are looked up once for everybody, under a quota, and added up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from service.config import Settings
from service.domain.errors import Deferred, InputError, Transient
from service.domain.processor import Following
from service.domain.video import quota_day, quota_resets_at
from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, settled
from tests.youtube_server import KEY, YouTubeServer, youtube_server
from workers.clients import pace, youtube
from workers.clients.youtube import YouTube
from workers.processors.watch_history import WatchHistoryOptions, followed_by


@pytest.fixture
async def server() -> AsyncIterator[YouTubeServer]:
    async with youtube_server() as started:
        yield started


def settings(server: YouTubeServer, **more: object) -> dict[str, object]:
    return {
        "enrich": "true",
        "youtube_key": KEY,
        "youtube_url": server.url,
        "oembed_url": f"{server.url}/oembed",
        "youtube_rate": 1000,
        **more,
    }


def ids(count: int, first: int = 0) -> list[str]:
    return [f"video{number:05}0" for number in range(first, first + count)]


def history(videos: list[str]) -> bytes:
    entries = [
        {
            "header": "YouTube",
            "title": f"Watched Film {n}",
            "titleUrl": f"https://www.youtube.com/{'shorts/' if n % 4 == 0 else 'watch?v='}{video_id}",
            "subtitles": [{"name": f"Channel {n % 3}", "url": f"https://www.youtube.com/channel/UC{n % 3}"}],
            "time": f"2026-07-{n % 7 + 6:02}T{n % 24:02}:20:22Z",  # the 6th is a Monday
        }
        for n, video_id in enumerate(videos)
    ]
    return json.dumps(entries).encode()


async def follower(client: httpx.AsyncClient, first: Json) -> Json:
    """The job that looks up what this one has read."""

    async def look() -> Json | None:
        found = (await client.get("/v1/jobs", params={"processor": "enrich_videos"})).json()["jobs"]
        return next((job for job in found if job["metadata"].get("follows") == first["id"]), None)

    found = await eventually(look)
    assert found is not None
    return found


async def enriched(client: httpx.AsyncClient, videos: list[str], dataset: str = "history") -> tuple[Json, Json]:
    first = await imported(client, history(videos), dataset, processor="watch_history", name="h.json")
    assert first["state"] == "completed", first
    return first, await settled(client, await follower(client, first))


async def test_the_end_of_a_history_looks_its_videos_up_in_batches_and_adds_up(
    start_service: StartService, server: YouTubeServer
) -> None:
    service = await start_service(**settings(server))
    videos = ids(120)
    server.gone = set(videos[:7])
    first, job = await enriched(service.client, [*videos, *videos[:20]])
    assert job["state"] == "completed", job["problem"]
    assert [len(asked) for asked in server.asked] == [50, 50, 20]
    told = job["output"]
    assert told["looked_up"] == {"available": 113, "unavailable": 7}
    assert (told["watched"], told["videos"], told["unavailable"], told["not_looked_up"]) == (140, 120, 7, 0)
    assert told["duration_s"] == 3723 * (113 + 13)
    assert told["shorts_share"] == round(35 / 140, 4)
    assert sum(told["by_hour"]) == sum(told["by_weekday"].values()) == 140
    assert told["by_weekday"]["monday"] == 20
    assert [(top["channel"], top["watched"]) for top in told["top_channels"]] == [
        ("Channel 0", 47), ("Channel 1", 47), ("Channel 2", 46),
    ]  # fmt: skip
    assert job["state"] == "completed"
    assert first["counts"]["inserted"] == 140


async def test_a_video_is_asked_for_once_for_all_accounts(start_service: StartService, server: YouTubeServer) -> None:
    service = await start_service(**settings(server))
    await enriched(service.client, ids(60))
    async with await service.account("other") as other:
        _, job = await enriched(other, ids(60, first=40))
    assert job["output"]["looked_up"]["available"] == 40
    asked = [video_id for batch in server.asked for video_id in batch]
    assert len(asked) == len(set(asked)) == 100


async def test_without_a_key_oembed_is_asked_one_by_one(start_service: StartService, server: YouTubeServer) -> None:
    service = await start_service(**settings(server, youtube_key=""))
    server.gone = {"abcdefghij0"}
    videos = ["abcdefghij0", "abcdefghij1", "abcdefghij2", "abcdefghij3", "abcdefghij4"]
    _, job = await enriched(service.client, videos)
    assert job["output"]["looked_up"] == {"available": 2, "unavailable": 3}
    assert sorted(server.asked) == [[video_id] for video_id in videos]
    assert (await service.rows_in("youtube_quota"))["youtube_quota"] == 0


@pytest.mark.parametrize("used_up", ["by_us", "by_others"])
async def test_a_used_up_quota_defers_to_its_reset_and_costs_no_try(
    start_service: StartService, server: YouTubeServer, used_up: str
) -> None:
    service = await start_service(**settings(server, youtube_daily_units=2 if used_up == "by_us" else 10_000))
    if used_up == "by_others":
        server.faults = ["quota"]
    first = await imported(service.client, history(ids(120)), "history", processor="watch_history", name="h.json")
    found = await follower(service.client, first)

    async def deferred() -> Json | None:
        job: Json = (await service.client.get(found["links"]["self"])).json()
        return job if job["state"] == "retrying" else None

    job: Any = await eventually(deferred)
    assert job["problem"]["code"] == "quota_used_up"
    reset = quota_resets_at(datetime.now(UTC))
    assert f"{reset.astimezone(UTC):%Y-%m-%d %H:%M}" in job["problem"]["message"]
    told = (await service.client.get(f"{found['links']['self']}/explain")).json()
    assert abs((datetime.fromisoformat(told["run_at"]) - reset).total_seconds()) < 120
    assert len(server.asked) == (2 if used_up == "by_us" else 1)
    attempts = (await service.client.get(f"{found['links']['self']}/attempts")).json()["attempts"]
    assert len(attempts) == 1
    # What another history needs is not asked for either.
    before = len(server.asked)
    second = await imported(service.client, history(ids(3, 500)), "other", processor="watch_history", name="h.json")
    following = await follower(service.client, second)
    await eventually(lambda: _is_retrying(service, following))
    assert len(server.asked) == before


async def _is_retrying(service: Service, job: Json) -> bool:
    return bool((await service.client.get(job["links"]["self"])).json()["state"] == "retrying")


async def test_a_refused_key_fails_at_once_and_says_so(start_service: StartService, server: YouTubeServer) -> None:
    service = await start_service(**settings(server, youtube_key="wrong"))
    first, job = await enriched(service.client, ids(3))
    assert (job["state"], job["problem"]["code"]) == ("failed", "youtube_key_refused")
    assert "keyInvalid" in job["problem"]["message"]
    assert first["state"] == "completed"


async def test_who_asks_to_be_left_alone_is_and_then_it_goes_on(
    start_service: StartService, server: YouTubeServer
) -> None:
    service = await start_service(**settings(server))
    server.faults = ["often"]
    _, job = await enriched(service.client, ids(3))
    assert job["state"] == "completed"
    assert job["output"]["looked_up"]["available"] == 3
    events = [e["event"] for e in service.process.logged if e.get("job_id") == job["id"]]
    assert "job.retrying" in events


async def test_a_history_is_added_up_and_nobody_is_asked_unless_somebody_says_so(
    start_service: StartService, server: YouTubeServer
) -> None:
    service = await start_service(enrich="auto")
    _, job = await enriched(service.client, ids(5))
    assert job["state"] == "completed"
    assert job["input"]["look_up"] is False
    assert job["output"]["looked_up"] == {"available": 0, "unavailable": 0}
    assert (job["output"]["watched"], job["output"]["not_looked_up"]) == (5, 5)
    service = await start_service(**settings(server, enrich="auto", youtube_key=""))
    _, job = await enriched(service.client, ["abcdefghij1"])
    assert job["input"]["look_up"] is True
    assert server.asked == [["abcdefghij1"]]


@pytest.mark.parametrize(
    ("given", "looks_up"),
    [
        ({}, False),
        ({"youtube_key": KEY}, True),
        ({"oembed_url": "https://www.youtube.com/oembed"}, True),
        ({"enrich": True}, True),
        ({"enrich": False, "youtube_key": KEY}, False),
        ({"enrich": "auto", "youtube_key": KEY}, True),
    ],
)
def test_who_runs_the_service_says_whether_youtube_is_asked(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], looks_up: bool
) -> None:
    for name in ("ENRICH", "YOUTUBE_KEY", "OEMBED_URL"):
        monkeypatch.delenv(f"MILLRACE_{name}", raising=False)
    assert Settings(**given).looks_up is looks_up


@pytest.mark.parametrize(("enrich", "asked_for"), [(None, False), (True, True), (False, None)])
def test_so_does_who_imports_a_history(enrich: bool | None, asked_for: bool | None) -> None:
    found = followed_by(WatchHistoryOptions(enrich=enrich))
    assert found == (None if asked_for is None else Following("enrich_videos", asked_for))


async def test_nothing_is_looked_up_where_that_is_not_wanted(
    start_service: StartService, server: YouTubeServer
) -> None:
    service = await start_service(**settings(server))
    job = await imported(
        service.client, history(ids(3)), "history", processor="watch_history", name="h.json", enrich="false"
    )
    assert job["state"] == "completed"
    assert (await service.client.get("/v1/jobs", params={"processor": "enrich_videos"})).json()["jobs"] == []
    body = {"processor": "enrich_videos", "input": {"dataset": "history", "tz": "Asia/Tokyo"}}
    told = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert told["output"]["time_zone"] == "Asia/Tokyo"
    assert told["output"]["by_hour"][9] == 1  # midnight of UTC


@pytest.mark.parametrize(
    ("dataset", "tz", "code"), [("nowhere", "UTC", "not_found"), ("plain", "UTC", "schema_mismatch")]
)
async def test_what_is_no_history_is_refused(service: Service, dataset: str, tz: str, code: str) -> None:
    await imported(service.client, b"a\n1\n", "plain")
    body = {"processor": "enrich_videos", "input": {"dataset": dataset, "tz": tz}}
    job = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert job["problem"]["code"] == code


ANSWERS = [
    ("away", Transient, "upstream_unavailable"),
    ("nothing", Transient, "upstream_unavailable"),
    ("text", Transient, "upstream_unavailable"),
    ("lost", Transient, "upstream_unavailable"),
    ("often", Deferred, "upstream_resting"),
    ("quota", Deferred, "quota_used_up"),
    ("key", InputError, "youtube_key_refused"),
    ("not_configured", InputError, "youtube_key_refused"),
]


@pytest.mark.parametrize(("fault", "kind", "code"), ANSWERS)
async def test_what_is_no_answer_is_told_apart(
    server: YouTubeServer, fault: str, kind: type[Exception], code: str
) -> None:
    server.faults = [fault]
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(kind) as raised:
            await asking(client, server).look_up(["abcdefghij0"])
    assert getattr(raised.value, "code") == code  # noqa: B009 - of whichever kind


async def test_after_many_failures_nobody_is_asked_for_a_while(
    server: YouTubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = ["away"] * pace.FAILURES
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = asking(client, server)
        for _ in range(pace.FAILURES):
            with pytest.raises(Transient):
                await asked.look_up(["abcdefghij0"])
        with pytest.raises(Deferred) as resting:
            await asked.look_up(["abcdefghij0"])
        assert len(server.asked) == pace.FAILURES
        assert 0 < (resting.value.retry_after_s or 0) <= pace.REST_S
        monkeypatch.setattr(asked._breaker, "_open_until", 0.0)
        assert (await asked.look_up(["abcdefghij0"]))[0].duration_s == 3723


async def test_what_is_live_has_no_length_and_a_date_may_be_anything() -> None:
    assert youtube._duration_s("P0D") is None
    assert youtube._duration_s("P1DT1S") == 86_401
    assert youtube._duration_s("PT") is None
    assert youtube._seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert youtube._seconds("soon") is None


def asking(client: httpx.AsyncClient, server: YouTubeServer) -> YouTube:
    return YouTube(client, KEY, server.url, f"{server.url}/oembed", 1000)


def test_the_quota_is_that_of_a_day_in_california() -> None:
    for now, reset in (
        ("2026-07-01T06:59:00+00:00", "2026-07-01T07:00:00+00:00"),
        ("2026-07-01T07:00:00+00:00", "2026-07-02T07:00:00+00:00"),
        ("2026-03-08T09:00:00+00:00", "2026-03-09T07:00:00+00:00"),  # the day that has 23 hours
        ("2026-12-31T23:00:00+00:00", "2027-01-01T08:00:00+00:00"),
    ):
        assert quota_resets_at(datetime.fromisoformat(now)) == datetime.fromisoformat(reset)
        assert quota_day(datetime.fromisoformat(now)) < quota_day(datetime.fromisoformat(reset))
