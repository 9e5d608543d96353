"""A job's events over SSE: each number once, in order, without a gap, however often the line is cut."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest

from tests.conftest import StartService
from tests.running import Json, Service, imported, post_import, settled
from tests.sse import Message, connected, message, messages

FILE = b"a,b\n1,x\n2,y\n"
CLIENTS = 200
TERMINAL = {"job.completed", "job.failed", "job.cancelled"}


async def stream_of(client: httpx.AsyncClient, job: Json, **request: Any) -> list[Message]:
    """Every message until the server closes."""
    answer = await client.get(job["links"]["events"], **request)
    assert answer.status_code == 200, answer.text
    return [found for text in answer.text.split("\n\n") if (found := message(text))]


@pytest.fixture(scope="module")
async def ended(service: Service) -> Json:
    """A completed job."""
    return await imported(service.client, FILE, "ended")


async def test_events_are_numbered_from_one_without_a_gap(service: Service, ended: Json) -> None:
    _, *events = await stream_of(service.client, ended)
    assert [event.number for event in events] == list(range(1, ended["last_event_id"] + 1))
    assert [event.data["seq"] for event in events] == [event.number for event in events]


async def test_a_job_is_created_started_progressed_and_completed(service: Service, ended: Json) -> None:
    _, *events = await stream_of(service.client, ended)
    assert [event.event for event in events] == ["job.created", "job.started", "job.progressed", "job.completed"]
    assert [event.data["type"] for event in events] == [event.event for event in events]


async def test_the_first_message_is_a_snapshot_of_the_job_without_a_number(service: Service, ended: Json) -> None:
    first, *_ = await stream_of(service.client, ended)
    assert (first.event, first.number) == ("snapshot", None)
    assert first.data == ended
    assert 500 <= int(first.retry or 0) <= 2500


async def test_the_last_event_tells_what_the_job_tells(service: Service, ended: Json) -> None:
    *_, last = await stream_of(service.client, ended)
    assert (last.data["state"], last.data["outcome"]) == ("completed", "complete")
    assert last.data["counts"] == ended["counts"]


async def test_a_failed_job_ends_with_its_problem(service: Service) -> None:
    job = await imported(service.client, b"\n", "failing")
    *_, last = await stream_of(service.client, job)
    assert (last.event, last.data["problem"]) == ("job.failed", job["problem"])


@pytest.mark.parametrize("how", ["header", "parameter", "header before parameter"])
async def test_a_stream_goes_on_behind_the_number_given(service: Service, ended: Json, how: str) -> None:
    headers = {} if how == "parameter" else {"Last-Event-ID": "2"}
    params = {} if how == "header" else {"after": "2" if how == "parameter" else "0"}
    first, *events = await stream_of(service.client, ended, headers=headers, params=params)
    assert first.event == "snapshot"
    assert [event.number for event in events] == [3, 4]


@pytest.mark.parametrize("behind", [0, 1000])
async def test_nothing_behind_the_end_is_204_which_stops_a_browser(service: Service, ended: Json, behind: int) -> None:
    headers = {"Last-Event-ID": str(ended["last_event_id"] + behind)}
    answer = await service.client.get(ended["links"]["events"], headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "1" * 5000])
async def test_a_number_that_is_none_is_refused(service: Service, ended: Json, given: str) -> None:
    for request in ({"headers": {"Last-Event-ID": given}}, {"params": {"after": given}}):
        answer = await service.client.get(ended["links"]["events"], **request)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_last_event_id")
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_number_that_a_live_job_has_not_reached_is_refused(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "queued")
    answer = await service.client.get(job["links"]["events"], params={"after": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_last_event_id")


async def test_a_stream_of_no_job_is_a_problem_and_no_stream(service: Service) -> None:
    answer = await service.client.get("/v1/jobs/01890000-0000-7000-8000-000000000000/events")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


async def test_the_answer_is_one_that_no_proxy_keeps_or_gathers(service: Service, ended: Json) -> None:
    headers = (await service.client.get(ended["links"]["events"])).headers
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert headers["X-Accel-Buffering"] == "no"


async def follow(service: Service, path: str, dice: random.Random, joined: asyncio.Semaphore) -> tuple[list[int], int]:
    """All numbers that a client sees who is cut off at random, and how often it was."""
    seen: list[int] = []
    cuts = -1
    while True:
        cuts += 1
        async with connected(service, path, seen[-1] if seen else 0) as (status, reader):
            if status == 204:
                return seen, cuts
            if status == 503:  # too many at once: come back in a moment, as the answer says
                await asyncio.sleep(dice.random())
                continue
            assert status == 200
            rest = dice.randint(1, 60)
            async for found in messages(reader):
                if found.number is None:
                    joined.release()
                    continue
                seen.append(found.number)
                rest -= 1
                if found.event in TERMINAL:
                    return seen, cuts
                if rest == 0:
                    break


@pytest.mark.slow
async def test_200_clients_cut_off_at_random_each_see_every_event_once(start_service: StartService) -> None:
    service = await start_service("api")
    content = b"n,text\n" + b"".join(b"%d,%s\n" % (n, b"x" * 60) for n in range(220))
    job = await post_import(service.client, content, "watched")
    joined = asyncio.Semaphore(0)
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        clients = [
            group.create_task(follow(service, job["links"]["events"], random.Random(seed), joined))
            for seed in range(CLIENTS)
        ]
        for _ in clients:
            await joined.acquire()
        await service.worker(chunk_bytes=64)
    job = await settled(service.client, job)
    assert (job["state"], job["counts"]["inserted"]) == ("completed", 220)
    assert job["last_event_id"] >= 200
    everything = list(range(1, job["last_event_id"] + 1))
    assert all(client.result()[0] == everything for client in clients)
    assert sum(client.result()[1] for client in clients) > CLIENTS


async def test_an_orderly_stop_ends_the_streams_at_once(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "stopped")
    async with connected(service, job["links"]["events"], 0) as (_, reader):
        live = messages(reader)
        assert [(await anext(live)).event for _ in range(2)] == ["snapshot", "job.created"]
        stopping = asyncio.create_task(service.process.stop(4))
        (farewell,) = [found async for found in live]
        assert (farewell.event, farewell.number) == ("reconnect", None)
        assert 500 <= int(farewell.retry or 0) <= 2500
        assert await stopping == 0


async def test_a_client_that_leaves_lets_go_of_its_stream(start_service: StartService) -> None:
    service = await start_service("api", api_connections=2)
    job = await post_import(service.client, FILE, "left")
    for _ in range(50):
        async with connected(service, job["links"]["events"], 0) as (_, reader):
            await anext(messages(reader))
    assert (await service.client.get("/v1/jobs")).status_code == 200
