"""Jobs that read no file: submitted one or many at a time, run in the worker's event loop, resumed by their cursor."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import pytest

from tests.conftest import StartService
from tests.running import Json, Service, eventually, settled


async def submitted(service: Service, **body: object) -> Json:
    answer = await service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def test_a_job_without_a_file_gives_its_output(service: Service) -> None:
    job = await submitted(service, processor="echo", input={"say": "hello", "deep": [1, {"x": None}]})
    assert (job["queue"], job["upload_id"], job["dataset"]) == ("io", None, None)
    ended = await settled(service.client, job)
    assert (ended["state"], ended["outcome"]) == ("completed", "complete")
    assert ended["output"] == {"say": "hello", "deep": [1, {"x": None}]}


async def test_a_job_whose_end_is_being_written_keeps_no_other_from_its_slot(start_service: StartService) -> None:
    service = await start_service(io_slots=1, lease_s=60)
    db = await asyncpg.connect(service.database_url)
    try:
        async with db.transaction():
            await db.execute("lock table millrace.attempt in share mode")  # attempts begin, and none can end
            jobs = [await submitted(service, processor="echo", input={"n": n}) for n in range(3)]
            running = {"state": "running"}

            async def two_run() -> bool:
                return len((await service.client.get("/v1/jobs", params=running)).json()["jobs"]) == 2

            await eventually(two_run)
            # the first fills no slot, the second waits with it: they are not to pile up without end
            assert (await service.client.get(jobs[2]["links"]["self"])).json()["state"] == "queued"
    finally:
        await db.close()
    assert [(await settled(service.client, job))["state"] for job in jobs] == ["completed"] * 3


async def test_many_jobs_in_one_request_are_queued_in_order(service: Service) -> None:
    bodies = [{"processor": "echo", "input": {"n": n}} for n in range(500)]
    answer = await service.client.post("/v1/jobs", json=bodies)
    assert answer.status_code == 202
    jobs = answer.json()["jobs"]
    assert [job["input"]["n"] for job in jobs] == list(range(500))
    assert [job["id"] for job in jobs] == sorted(job["id"] for job in jobs)
    last = await asyncio.gather(*(settled(service.client, job) for job in jobs[-20:]))
    assert [job["output"]["n"] for job in last] == list(range(480, 500))


async def test_of_many_jobs_all_are_queued_or_none(start_service: StartService) -> None:
    service = await start_service("api")
    bodies = [{"processor": "echo"}, {"processor": "csv", "dataset": "x", "upload_id": "0" * 32}]
    answer = await service.client.post("/v1/jobs", json=bodies)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await service.rows_in("job", "event") == {"job": 0, "event": 0}


async def test_jobs_submitted_at_the_same_time_are_each_answered_with_their_own(service: Service) -> None:
    jobs = await asyncio.gather(*(submitted(service, processor="echo", input={"n": n}) for n in range(100)))
    assert [job["input"]["n"] for job in jobs] == list(range(100))
    assert len({job["id"] for job in jobs}) == 100
    ended = await asyncio.gather(*(settled(service.client, job) for job in jobs))
    assert all(job["state"] == "completed" for job in ended)


async def test_one_that_cannot_be_stored_spoils_no_other(service: Service) -> None:
    bodies = [{"processor": "echo", "input": {"text": "\0" if n == 3 else "fine"}} for n in range(10)]
    answers = await asyncio.gather(*(service.client.post("/v1/jobs", json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [202] * 3 + [422] + [202] * 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"processor": "csv", "dataset": "x"}, "upload_needed"),
        ({"processor": "csv", "upload_id": "0" * 32}, "dataset_needed"),
        ({"processor": "echo", "dataset": "x"}, "no_dataset_wanted"),
        ({"processor": "echo", "upload_id": "0" * 32}, "no_upload_wanted"),
        ({"processor": "echo", "retry": {"max_attempts": 0}}, "invalid_request"),
        ({"processor": "echo", "retry": {"often": 1}}, "invalid_request"),
        ([], "invalid_request"),
        ([{"processor": "echo"}, {"processor": "nothing"}], "unknown_processor"),
    ],
)
async def test_a_request_that_does_not_fit_says_so(service: Service, body: object, code: str) -> None:
    answer = await service.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_an_idempotency_key_is_not_for_a_list(service: Service) -> None:
    answer = await service.client.post("/v1/jobs", json=[{"processor": "echo"}], headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")


async def test_a_task_goes_on_behind_its_cursor_on_another_worker(start_service: StartService) -> None:
    service = await start_service("api", lease_s=2.0)
    job = await submitted(service, processor="echo", metadata={"steps": True}, input={"steps": 60})
    first = await service.worker(module="tests.integration.stepping")
    await _reaches(service, job, 5)
    first.kill()
    await service.worker(module="tests.integration.stepping")
    ended = await settled(service.client, job)
    assert ended["state"] == "completed"
    assert ended["output"] == {"steps": 60, "began_at": ended["output"]["began_at"]}
    assert ended["output"]["began_at"] >= 5


async def test_a_task_is_paused_and_resumed_and_cancelled(start_service: StartService) -> None:
    service = await start_service("api")
    await service.worker(module="tests.integration.stepping")
    job = await submitted(service, processor="echo", input={"steps": 100_000})
    await _reaches(service, job, 3)
    await service.client.post(f"{job['links']['self']}/pause")
    paused = await _is(service, job, "paused")
    await service.client.post(f"{job['links']['self']}/resume")
    await _reaches(service, job, paused["progress"]["done"] + 3)
    await service.client.post(f"{job['links']['self']}/cancel")
    assert (await settled(service.client, job))["state"] == "cancelled"


async def test_a_task_that_hangs_is_ended_and_tried_again_as_often_as_it_asked_for(start_service: StartService) -> None:
    service = await start_service("api")
    await service.worker(module="tests.integration.stepping")
    retry = {"max_attempts": 2, "first_wait_s": 0.1, "deadline_s": 0.3}
    job = await submitted(service, processor="echo", input={"hang": True}, retry=retry)
    assert job["retry"] == {"max_attempts": 2, "first_wait_s": 0.1, "longest_wait_s": 600.0, "deadline_s": 0.3}
    ended = await settled(service.client, job)
    assert (ended["state"], ended["attempt"], ended["problem"]["code"]) == ("failed", 2, "no_progress")


async def test_a_limit_is_explained(start_service: StartService) -> None:
    service = await start_service("api")
    db = await asyncpg.connect(service.database_url)
    try:
        await db.execute("insert into millrace.running_limit values ('processor', 'echo', 0)")
    finally:
        await db.close()
    job = await submitted(service, processor="echo")
    told = (await service.client.get(f"{job['links']['self']}/explain")).json()
    assert (told["reason"], told["position"]) == ("limit_reached", 1)
    assert "processor echo: 0" in told["message"]


async def test_an_operator_sets_limits_and_weights(start_service: StartService) -> None:
    service = await start_service("api")
    for words, code in [
        (["limit", "queue", "cpu", "4"], 0),
        (["limit", "account", "dev", "2"], 0),
        (["weight", "dev", "7"], 0),
        (["limit", "account", "nobody", "2"], 1),
        (["limit", "house", "cpu", "4"], 1),
        (["weight", "dev", "0"], 1),
        (["weight", "dev"], 1),
    ]:
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", *words, env=service.settings, stderr=asyncio.subprocess.PIPE
        )
        _, complaint = await command.communicate()
        assert command.returncode == code, complaint
        assert b"Traceback" not in complaint
    db = await asyncpg.connect(service.database_url)
    try:
        assert tuple(await db.fetchrow("select max_running, weight from millrace.account where name = 'dev'")) == (2, 7)
        assert [tuple(row) for row in await db.fetch("select * from millrace.running_limit")] == [("queue", "cpu", 4)]
    finally:
        await db.close()


async def _reaches(service: Service, job: Json, done: int) -> Json:
    async def look() -> Json | None:
        shown: Json = (await service.client.get(job["links"]["self"])).json()
        return shown if shown["progress"]["done"] >= done else None

    return await eventually(look)


async def _is(service: Service, job: Json, state: str) -> Json:
    async def look() -> Json | None:
        shown: Json = (await service.client.get(job["links"]["self"])).json()
        return shown if shown["state"] == state else None

    return await eventually(look)
