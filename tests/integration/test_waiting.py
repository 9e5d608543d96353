"""`Prefer: wait=N`: the answer is the ended job if it ends in time, else what it would have been; and jobs by queue."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import httpx
import pytest

from tests.conftest import StartService
from tests.running import Service, eventually, imported, post_import

FILE = b"a,b\n1,x\n2,y\n"
IMPORT = {"processor": "csv"}


async def test_an_import_that_ends_in_time_is_answered_200_with_the_ended_job(service: Service) -> None:
    answer = await service.client.post(
        "/v1/imports", params=IMPORT | {"dataset": "awaited"}, content=FILE, headers={"Prefer": "wait=20"}
    )
    job = answer.json()
    assert (answer.status_code, job["state"], job["counts"]["inserted"]) == (200, "completed", 2)
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert answer.headers["Location"] == job["links"]["self"]


async def test_a_job_over_an_upload_is_awaited_too_also_when_it_fails(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", content=b"\n")).json()
    answer = await service.client.post(
        "/v1/jobs",
        json={"processor": "csv", "upload_id": upload["id"], "dataset": "awaited_failure"},
        headers={"Prefer": 'respond-async, WAIT = "20"; x=y'},
    )
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_a_job_that_does_not_end_in_time_is_answered_as_ever(start_service: StartService) -> None:
    service = await start_service("api")  # nobody works on the job
    began = time.monotonic()
    answer = await service.client.post(
        "/v1/imports", params=IMPORT | {"dataset": "late"}, content=FILE, headers={"Prefer": "wait=1"}
    )
    assert 1 <= time.monotonic() - began < 10
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["Location"] == answer.json()["links"]["self"]
    assert answer.headers["Preference-Applied"] == "wait=1"
    shown = await service.client.get(answer.headers["Location"], headers={"Prefer": "wait=1"})
    assert (shown.status_code, shown.json()["state"]) == (200, "queued")


async def test_a_look_at_a_job_waits_for_its_end(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "watched")
    asking = asyncio.create_task(service.client.get(job["links"]["self"], headers={"Prefer": "wait=25"}))
    await service.worker()
    answer = await asking
    assert (answer.status_code, answer.json()["state"]) == (200, "completed")


async def followers(service: Service, count: int) -> bool:
    """Whether so many wait for something."""
    return f"millrace_stream_clients {count}\n" in (await service.client.get("/metrics")).text


async def test_a_wait_ends_when_the_service_stops(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "stopped")
    headers = {"Prefer": "wait=60"}
    asking = [asyncio.create_task(service.client.get(job["links"]["self"], headers=headers)) for _ in range(20)]
    await eventually(lambda: followers(service, 20))
    assert await service.process.stop(10) == 0
    assert {(await answer).json()["state"] for answer in asking} == {"queued"}


async def test_clients_that_hang_up_leave_nobody_reading_for_them(start_service: StartService) -> None:
    service = await start_service("api", api_connections=2, stream_poll_s=0.05)
    jobs = [await post_import(service.client, FILE, f"left{n}") for n in range(20)]
    headers = {"Prefer": "wait=60"}
    for job in jobs:
        with pytest.raises(httpx.ReadTimeout):
            await service.client.get(job["links"]["self"], headers=headers, timeout=0.2)
    db = await asyncpg.connect(service.database_url)
    try:

        async def is_silent() -> bool:
            look = "select max(state_change) from pg_stat_activity where application_name = 'millrace api'"
            before = await db.fetchval(look)
            await asyncio.sleep(0.5)  # ten looks of a reader
            return bool(before == await db.fetchval(look))

        assert await eventually(is_silent, 10)
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("given", "applied"), [("wait=600", "wait=60"), ("wait=5, wait=7", "wait=5"), ("wait=0", "wait=0")]
)
async def test_the_wait_that_is_applied_is_told(service: Service, given: str, applied: str) -> None:
    job = await imported(service.client, FILE, "told")
    answer = await service.client.get(job["links"]["self"], headers={"Prefer": given})
    assert answer.headers["Preference-Applied"] == applied


@pytest.mark.parametrize("given", ["", "respond-async", "wait", "wait=", "wait=-1", "wait=soon", f"wait={'9' * 5000}"])
async def test_a_preference_that_is_none_is_ignored(service: Service, given: str) -> None:
    job = await imported(service.client, FILE, "ignored")
    answer = await service.client.get(job["links"]["self"], headers={"Prefer": given})
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


async def test_a_job_is_found_under_its_queue_and_no_other(service: Service) -> None:
    job = await imported(service.client, FILE, "by_queue")
    found = await service.client.get(f"/v1/queues/cpu/jobs/{job['id']}")
    assert (found.status_code, found.json()) == (200, job)
    for queue in ("io", "none"):
        answer = await service.client.get(f"/v1/queues/{queue}/jobs/{job['id']}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    async with await service.account("neighbour") as other:
        assert (await other.get(f"/v1/queues/cpu/jobs/{job['id']}")).status_code == 404
