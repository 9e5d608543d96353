"""Jobs that wait for others: submitted, told, failed and taken up again without losing a race."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from tests.conftest import StartService
from tests.running import Json, Service, eventually, is_blocked, post_import, settled, superuser

END = "update job set state = 'completed', outcome = 'complete', finished_at = now() where id = $1"
UNKNOWN = "01a20594-aee7-73c2-b485-15425946dd2c"


async def posted(client: httpx.AsyncClient, **fields: Any) -> Json:
    answer = await client.post("/v1/jobs", json={"processor": "echo"} | fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def ask(service: Service, job: Json, action: str) -> httpx.Response:
    return await service.client.post(f"{job['links']['self']}/{action}")


async def explained(service: Service, job: Json) -> Json:
    return dict((await service.client.get(job["links"]["self"] + "/explain")).json())


async def state_of(service: Service, job: Json) -> str:
    return str((await service.client.get(job["links"]["self"])).json()["state"])


async def in_state(service: Service, job: Json, state: str) -> bool:
    return await state_of(service, job) == state


async def test_a_job_runs_once_all_that_it_waits_for_have_completed(start_service: StartService) -> None:
    service = await start_service("api")
    first, second = await posted(service.client), await posted(service.client)
    last = await posted(service.client, after=[first["id"], second["id"], first["id"]])
    assert (last["state"], last["waits_for"], last["run_if"]) == ("pending", 2, "completed")
    told = await explained(service, last)
    assert told["reason"] == "waiting_for_jobs"
    assert told["jobs"] == [{"id": job["id"], "state": "queued", "step": None} for job in (first, second)]
    await service.worker()
    ended = await settled(service.client, last)
    assert ended["state"] == "completed"
    for job in (first, second):
        assert (await settled(service.client, job))["finished_at"] <= ended["started_at"]


async def test_what_has_ended_already_is_not_waited_for(service: Service) -> None:
    done = await settled(service.client, await posted(service.client))
    job = await posted(service.client, after=[done["id"]])
    assert (job["state"], job["waits_for"]) == ("queued", 0)


async def test_the_time_of_a_job_counts_too(start_service: StartService) -> None:
    service = await start_service("api")
    first = await posted(service.client)
    later = await posted(service.client, after=[first["id"]], run_at="2099-01-01T00:00:00Z")
    await service.worker()
    await settled(service.client, first)

    async def scheduled() -> bool:
        return (await explained(service, later))["reason"] == "scheduled"

    await eventually(scheduled)


async def test_jobs_that_are_not_there_cannot_be_waited_for(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json={"processor": "echo", "after": [UNKNOWN]})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    many = await service.client.post("/v1/jobs", json={"processor": "echo", "after": [UNKNOWN] * 101})
    assert (many.status_code, many.json()["code"]) == (422, "invalid_request")


async def test_to_wait_for_the_success_of_what_has_failed_is_refused_at_once(start_service: StartService) -> None:
    service = await start_service("api")
    gone = await posted(service.client)
    await ask(service, gone, "cancel")
    answer = await service.client.post("/v1/jobs", json={"processor": "echo", "after": [gone["id"]]})
    assert (answer.status_code, answer.json()["code"]) == (409, "dependency_failed")
    assert gone["id"] in answer.json()["detail"]
    assert (await posted(service.client, after=[gone["id"]], run_if="ended"))["state"] == "queued"


async def test_a_repeated_submit_is_answered_even_if_what_it_waits_for_has_failed_since(
    start_service: StartService,
) -> None:
    service = await start_service("api")
    needed = await posted(service.client)
    body, headers = {"processor": "echo", "after": [needed["id"]]}, {"Idempotency-Key": "k"}
    first = await service.client.post("/v1/jobs", json=body, headers=headers)
    await ask(service, needed, "cancel")
    again = await service.client.post("/v1/jobs", json=body, headers=headers)
    assert (first.status_code, again.status_code, again.json()["id"]) == (202, 200, first.json()["id"])


async def test_the_dependents_of_a_cancelled_job_fail_unless_they_wait_for_its_end_only(service: Service) -> None:
    never = await posted(service.client, run_at="2099-01-01T00:00:00Z")
    strict = await posted(service.client, after=[never["id"]])
    after_strict = await posted(service.client, after=[strict["id"]])
    relaxed = await posted(service.client, after=[never["id"]], run_if="ended")
    await ask(service, never, "cancel")
    for job in (strict, after_strict):
        ended = await settled(service.client, job)
        assert (ended["state"], ended["problem"]["code"]) == ("failed", "dependency_failed")
    assert (await settled(service.client, relaxed))["state"] == "completed"


async def test_a_job_is_not_failed_while_what_it_needs_is_tried_again(start_service: StartService) -> None:
    service = await start_service("api")
    needed = await posted(service.client)
    job = await posted(service.client, after=[needed["id"]])
    await ask(service, needed, "cancel")
    assert (await ask(service, needed, "retry")).status_code == 200
    assert (await service.client.get(job["links"]["self"])).json()["waits_for"] == 1
    await service.worker()
    assert (await settled(service.client, job))["state"] == "completed"


async def test_neither_a_retry_nor_a_resume_runs_a_job_without_what_it_needs(start_service: StartService) -> None:
    service = await start_service("api")
    needed = await posted(service.client)
    paused = await posted(service.client, after=[needed["id"]])
    cancelled = await posted(service.client, after=[needed["id"]])
    await ask(service, paused, "pause")
    await ask(service, cancelled, "cancel")
    await ask(service, needed, "cancel")
    assert (await ask(service, paused, "resume")).json()["state"] == "pending"
    assert (await ask(service, cancelled, "retry")).json()["state"] == "pending"
    await service.worker()
    for job in (paused, cancelled):
        assert (await settled(service.client, job))["problem"]["code"] == "dependency_failed"


async def test_no_submit_misses_the_end_of_what_it_waits_for(service: Service) -> None:
    await service.worker()

    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    needed = [await posted(service.client, run_at=soon) for _ in range(20)]
    jobs, late = list[Json](), 0
    while late < len(needed):  # so all of them end while others are being submitted behind them
        jobs += (some := await asyncio.gather(*(posted(service.client, after=[job["id"]]) for job in needed)))
        late += sum(job["state"] == "queued" for job in some)
    for job in jobs:
        assert (await settled(service.client, job))["state"] == "completed"
    assert 0 < late < len(jobs), "the race was not run: all waited, or none"


async def test_a_submit_waits_for_an_end_that_is_being_written(start_service: StartService) -> None:
    service = await start_service("api")
    needed = await posted(service.client)
    async with superuser(service.database_url) as db, superuser(service.database_url) as watcher:
        await db.execute("update job set state = 'running' where id = $1", needed["id"])
        async with db.transaction():
            await db.execute(END, needed["id"])
            submitting = asyncio.create_task(posted(service.client, after=[needed["id"]]))
            assert await eventually(lambda: _done_or_blocked(submitting, watcher, "is_needed = true"))
        job = await submitting
    assert (job["state"], job["waits_for"]) == ("queued", 0)


async def _done_or_blocked(task: asyncio.Task[Any], watcher: asyncpg.Connection, statement: str) -> bool:
    return task.done() or await is_blocked(watcher, statement)


async def test_a_submit_and_a_worker_lock_dataset_and_job_in_the_same_order(start_service: StartService) -> None:
    service = await start_service("api")
    needed = await post_import(service.client, b"id\n1\n", "ordered")
    asked = {"processor": "csv", "upload_id": needed["upload_id"], "dataset": "ordered", "after": [needed["id"]]}
    async with superuser(service.database_url) as worker, superuser(service.database_url) as watcher:
        async with worker.transaction():  # as a job does that begins
            await worker.execute("select from dataset where name = 'ordered' for update")
            submitting = asyncio.create_task(posted(service.client, **asked))
            assert await eventually(lambda: is_blocked(watcher, "key share"))
            await worker.execute("select from job where id = $1 for update", needed["id"])
        assert (await submitting)["waits_for"] == 1


async def test_an_import_waits_for_another_and_tells_what_it_made(service: Service) -> None:
    first = await post_import(service.client, b"id\n1\n", "chained")
    body = {"processor": "csv", "upload_id": first["upload_id"], "dataset": "chained", "after": [first["id"]]}
    ended = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
    assert ended["output"] == {"dataset": "chained", "upload_id": first["upload_id"], "rows": 1}
