"""When and how often a job runs: later, once per key, in fair turns."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import StartService
from tests.running import Service, account_id_of, imported, post_import, settled

FILE = b"id,name\n1,Ann\n2,Bob\n"


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_job_waits_for_its_time(service: Service) -> None:
    job = await post_import(service.client, FILE, "later", run_at=soon(1.5))
    assert job["state"] == "pending"
    ended = await settled(service.client, job)
    assert ended["state"] == "completed"
    created, started = (datetime.fromisoformat(ended[name]) for name in ("created_at", "started_at"))
    assert started - created >= timedelta(seconds=1.2)


@pytest.mark.parametrize("moment", ["tomorrow", "2026-12-24T18:00:00", ""])
async def test_a_time_without_a_zone_is_refused(service: Service, moment: str) -> None:
    query = {"processor": "csv", "dataset": "later", "run_at": moment}
    answer = await service.client.post("/v1/imports", params=query, content=FILE)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_run_at")


async def test_a_dedupe_key_joins_the_live_job_and_keeps_no_second_file(start_service: StartService) -> None:
    service = await start_service("api")
    first = await post_import(service.client, FILE, "people", dedupe_key="people of today")
    query = {"processor": "csv", "dataset": "people", "dedupe_key": "people of today"}
    second = await service.client.post("/v1/imports", params=query, content=FILE)
    assert (second.status_code, second.json()["id"]) == (200, first["id"])
    assert await service.rows_in("job", "upload") == {"job": 1, "upload": 1}
    assert len(service.files) == 1


async def test_a_dedupe_key_is_free_again_once_its_job_has_ended(service: Service) -> None:
    first = await imported(service.client, FILE, "twice", dedupe_key="k")
    second = await imported(service.client, FILE, "twice", dedupe_key="k")
    assert first["id"] != second["id"]


async def test_a_repeated_request_is_answered_with_its_first_job(service: Service) -> None:
    query = {"processor": "csv", "dataset": "once"}
    headers = {"Idempotency-Key": "an order's number"}
    answers = await asyncio.gather(
        *(service.client.post("/v1/imports", params=query, content=FILE, headers=headers) for _ in range(5))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]
    await settled(service.client, answers[0].json())
    again = await service.client.post("/v1/imports", params=query, content=FILE, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, answers[0].json()["id"])


async def test_an_idempotency_key_is_not_for_two_requests(service: Service) -> None:
    headers = {"Idempotency-Key": "one"}
    query = {"processor": "csv", "dataset": "one"}
    await service.client.post("/v1/imports", params=query, content=FILE, headers=headers)
    other = await service.client.post("/v1/imports", params=query, content=FILE + b"3,Cyd\n", headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_one_accounts_many_jobs_do_not_delay_anothers_first(start_service: StartService) -> None:
    service = await start_service("api")
    many = [await post_import(service.client, FILE, "people") for _ in range(20)]
    async with await service.account("small") as small:
        only = await post_import(small, FILE, "people")
        await service.worker(worker_slots=1)
        ended = await settled(small, only)
        for job in many:
            await settled(service.client, job)
    assert await account_id_of(service.database_url, "small")
    started = [(await service.client.get(job["links"]["self"])).json()["started_at"] for job in many]
    assert sum(moment < ended["started_at"] for moment in started) <= 1
