"""Pause, resume, cancel, retry, priority, delete: on a job that waits and on one that runs, one or many at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.acceptance.test_worker_faults import people
from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, numbers_of, post_import, rows_of, settled

ROWS = 100_000
FILE = b"id,name\n1,Ann\n2,Bob\n"


async def state_of(service: Service, job: Json) -> Json:
    return dict((await service.client.get(job["links"]["self"])).json())


async def reaches(service: Service, job: Json, state: str) -> Json:
    async def look() -> Json | None:
        seen = await state_of(service, job)
        return seen if seen["state"] == state else None

    return await eventually(look)


async def ask(service: Service, job: Json, action: str) -> httpx.Response:
    return await service.client.post(f"{job['links']['self']}/{action}")


@pytest.fixture
async def running_job(start_service: StartService) -> AsyncIterator[tuple[Service, Json]]:
    """A service with small chunks, and a job in the middle of its work."""
    service = await start_service("all", chunk_bytes=4096)
    job = await post_import(service.client, people(ROWS), "people")

    async def has_rows() -> bool:
        return (await state_of(service, job))["counts"]["inserted"] > 0

    await eventually(has_rows)
    yield service, job


async def whole(service: Service, job: Json) -> None:
    """The job ends complete, with every row of the file once."""
    ended = await settled(service.client, job, timeout_s=60)
    assert ended["state"] == "completed"
    assert ended["counts"]["read"] == ROWS
    numbers = await numbers_of(service, "people")
    assert len(numbers) == len(set(numbers)) == ended["counts"]["inserted"]


async def test_a_running_job_pauses_and_resumes_without_losing_or_doubling_a_row(
    running_job: tuple[Service, Json],
) -> None:
    service, job = running_job
    assert (await ask(service, job, "pause")).status_code == 200
    paused = await reaches(service, job, "paused")
    assert 0 < paused["counts"]["read"] < ROWS
    assert (await ask(service, job, "resume")).json()["state"] in ("queued", "running")
    await whole(service, job)


async def test_a_cancelled_running_job_keeps_its_rows_and_a_retry_goes_on_from_there(
    running_job: tuple[Service, Json],
) -> None:
    service, job = running_job
    asked = (await ask(service, job, "cancel")).json()
    assert asked["cancel_requested_at"]
    cancelled = await reaches(service, job, "cancelled")
    assert (cancelled["outcome"], cancelled["control"]) == ("partial", None)
    kept = cancelled["counts"]["inserted"]
    assert len(await numbers_of(service, "people")) == kept > 0
    assert (await ask(service, job, "retry")).status_code == 200
    await whole(service, job)


async def test_a_cancel_may_take_the_rows_back(running_job: tuple[Service, Json]) -> None:
    service, job = running_job
    await ask(service, job, "cancel?rows=remove")
    cancelled = await reaches(service, job, "cancelled")
    assert cancelled["outcome"] == "none"
    assert set(cancelled["counts"].values()) == {0}
    assert await rows_of(service.client, "people") == []
    assert await service.rows_in("reject") == {"reject": 0}


async def test_a_paused_job_can_be_cancelled_with_its_rows(running_job: tuple[Service, Json]) -> None:
    service, job = running_job
    await ask(service, job, "pause")
    await reaches(service, job, "paused")
    await ask(service, job, "cancel?rows=remove")
    assert (await reaches(service, job, "cancelled"))["counts"]["inserted"] == 0
    assert await rows_of(service.client, "people") == []


async def test_a_retry_from_the_start_replaces_what_was_there(running_job: tuple[Service, Json]) -> None:
    service, job = running_job
    await ask(service, job, "cancel")
    await reaches(service, job, "cancelled")
    assert (await ask(service, job, "retry?from=start")).status_code == 200
    await whole(service, job)


async def test_what_was_asked_survives_the_death_of_the_worker(start_service: StartService) -> None:
    service = await start_service("api", chunk_bytes=4096, lease_s=1)
    worker = await service.worker()
    job = await post_import(service.client, people(ROWS), "people")
    await reaches(service, job, "running")
    worker.kill()
    assert (await ask(service, job, "cancel")).json()["state"] == "running"
    await service.worker()
    await reaches(service, job, "cancelled")


async def test_a_waiting_job_is_paused_resumed_and_cancelled_at_once(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "people")
    assert (await ask(service, job, "pause")).json()["state"] == "paused"
    assert (await ask(service, job, "resume")).json()["state"] == "queued"
    assert (await ask(service, job, "cancel")).json()["state"] == "cancelled"


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "retry"])
async def test_a_completed_job_refuses_every_action(service: Service, action: str) -> None:
    job = await imported(service.client, FILE, "done")
    answer = await ask(service, job, action)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_finished")
    assert answer.json()["suggestion"]


async def test_an_action_that_does_not_fit_says_why(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "people")
    assert (await ask(service, job, "resume")).json()["code"] == "conflict"
    assert (await service.client.delete(job["links"]["self"])).status_code == 409
    await ask(service, job, "cancel")
    assert (await ask(service, job, "cancel")).status_code == 409
    assert (await ask(service, job, "cancel?rows=some")).json()["code"] == "invalid_choice"


async def test_the_priority_of_a_waiting_job_decides_who_is_next(start_service: StartService) -> None:
    service = await start_service("api")
    jobs = [await post_import(service.client, FILE, f"people_{n}") for n in range(3)]
    answer = await service.client.patch(jobs[2]["links"]["self"], json={"priority": 9})
    assert answer.json()["priority"] == 9
    await service.worker(worker_slots=1)
    ended = [await settled(service.client, job) for job in jobs]
    assert min(ended, key=lambda job: str(job["started_at"]))["id"] == jobs[2]["id"]


async def test_a_deleted_job_is_out_of_sight_and_its_rows_stay(service: Service) -> None:
    job = await imported(service.client, FILE, "kept")
    assert (await service.client.delete(job["links"]["self"])).status_code == 204
    assert (await service.client.get(job["links"]["self"])).status_code == 404
    assert (await service.client.delete(job["links"]["self"])).status_code == 404
    assert len(await rows_of(service.client, "kept")) == 2


async def batch(service: Service, **body: Any) -> list[Json]:
    answer = await service.client.post("/v1/jobs/batch", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


async def test_a_batch_tells_what_became_of_each_job(start_service: StartService) -> None:
    service = await start_service("api")
    jobs = [await post_import(service.client, FILE, "people") for _ in range(3)]
    await ask(service, jobs[1], "cancel")
    unknown = "01a20594-aee7-73c2-b485-15425946dd2c"
    results = await batch(service, action="pause", ids=[job["id"] for job in jobs] + [unknown])
    assert [result["ok"] for result in results] == [True, False, True, False]
    assert [result.get("code") for result in results] == [None, "already_finished", None, "not_found"]
    resumed = await batch(service, action="resume", filter={"state": "paused"})
    assert [result["id"] for result in resumed] == [jobs[0]["id"], jobs[2]["id"]]


async def test_no_account_controls_the_jobs_of_another(service: Service) -> None:
    job = await imported(service.client, FILE, "mine")
    async with await service.account("stranger") as stranger:
        for method, path in [("POST", "/retry"), ("POST", "/cancel"), ("DELETE", "")]:
            answer = await stranger.request(method, job["links"]["self"] + path)
            assert answer.status_code == 404
