"""Why a job stands where it stands, who tried it, and how long it will still take: as the API tells it."""

from __future__ import annotations

from uuid import uuid4

import asyncpg

from tests.acceptance.test_worker_faults import people
from tests.conftest import StartService
from tests.running import Json, Service, account_id_of, eventually, imported, post_import, settled

FILE = b"id,name\n1,Ann\n2,Bob\n"
ROWS = 200_000


async def explained(service: Service, job: Json) -> Json:
    answer = await service.client.get(f"{job['links']['self']}/explain")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def attempts_of(service: Service, job: Json, **query: int) -> list[Json]:
    answer = await service.client.get(f"{job['links']['self']}/attempts", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["attempts"])


async def reaches(service: Service, job: Json, reason: str) -> Json:
    async def look() -> Json | None:
        told = await explained(service, job)
        return told if told["reason"] == reason else None

    return await eventually(look)


async def test_a_queued_job_tells_its_place_in_line_and_asks_for_a_worker(start_service: StartService) -> None:
    service = await start_service("api")
    first, second = [await post_import(service.client, FILE, "people") for _ in range(2)]
    told = await explained(service, second)
    assert (told["state"], told["reason"]) == ("queued", "no_worker_seen")
    assert (told["position"], told["ahead"]) == (2, 1)
    assert "number 2 in the line" in told["message"]
    assert "python -m workers" in told["suggestion"]
    assert (await explained(service, first))["position"] == 1


async def test_priority_moves_a_job_forward_in_line(start_service: StartService) -> None:
    service = await start_service("api")
    first, second = [await post_import(service.client, FILE, "people") for _ in range(2)]
    await service.client.patch(second["links"]["self"], json={"priority": 9})
    assert [(await explained(service, job))["position"] for job in (first, second)] == [2, 1]


async def test_the_line_is_the_order_in_which_workers_take_the_jobs(start_service: StartService) -> None:
    service = await start_service("api", worker_slots=1)
    places: dict[str, int] = {}
    async with await service.account("second") as second, await service.account("third") as third:
        posted = [
            (client, await post_import(client, FILE, f"people_{n}"))
            for client, number in ((service.client, 4), (second, 1), (third, 2))
            for n in range(number)
        ]
        for client, job in posted:
            places[job["id"]] = (await client.get(f"{job['links']['self']}/explain")).json()["position"]
        assert list(places.values()) == [1, 4, 6, 7, 2, 3, 5]
        await service.worker()
        taken = {}
        for client, job in posted:
            await settled(client, job)
            (attempt,) = (await client.get(f"{job['links']['self']}/attempts")).json()["attempts"]
            taken[job["id"]] = attempt["started_at"]
    assert sorted(taken, key=taken.__getitem__) == sorted(places, key=places.__getitem__)


async def test_jobs_of_other_accounts_count_in_the_line_but_cannot_be_asked_about(start_service: StartService) -> None:
    service = await start_service("api")
    theirs = await post_import(service.client, FILE, "people")
    async with await service.account("stranger") as stranger:
        mine = await post_import(stranger, FILE, "people")
        assert (await stranger.get(f"{mine['links']['self']}/explain")).json()["ahead"] == 1
        for path in ("explain", "attempts"):
            assert (await stranger.get(f"{theirs['links']['self']}/{path}")).status_code == 404


async def test_the_database_tells_no_account_the_place_of_anothers_job(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "people")
    mine = await account_id_of(service.database_url)
    db = await asyncpg.connect(
        service.database_url, server_settings={"role": "millrace_api", "search_path": "millrace"}
    )
    try:
        for account_id, position in ((mine, 1), (uuid4(), None)):
            await db.execute("select set_config('millrace.account', $1, false)", str(account_id))
            assert await db.fetchval("select queue_position($1)", job["id"]) == position
    finally:
        await db.close()


async def test_a_job_behind_a_running_one_waits_for_its_turn(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=4096, worker_slots=1)
    first, second = [await post_import(service.client, people(ROWS), "people") for _ in range(2)]
    running = await reaches(service, first, "running")
    waiting = await reaches(service, second, "waiting_for_turn")
    (attempt,) = await attempts_of(service, first)
    assert running["message"].startswith(f"Worker {attempt['worker']} has had it since ")
    assert (waiting["position"], waiting["ahead"]) == (1, 0)
    assert "1 job is running" in waiting["message"]
    assert await attempts_of(service, second) == []


async def test_a_failed_job_is_explained_by_its_problem_and_what_a_retry_does(service: Service) -> None:
    job = await imported(service.client, b"[1]\n[2]\n", "broken", processor="ndjson")
    assert (job["state"], job["problem"]["code"]) == ("failed", "no_objects")
    told = await explained(service, job)
    assert (told["reason"], told["problem"]) == ("failed", job["problem"])
    assert job["problem"]["message"] in told["message"]
    assert told["suggestion"].endswith(f"POST {job['links']['self']}/retry goes on from the start.")


async def test_a_completed_job_points_to_its_rejects(service: Service) -> None:
    told = await explained(service, await imported(service.client, b"a,b\n1,2\n3\n", "halves", header="true"))
    assert (told["state"], told["reason"]) == ("completed", "completed_with_rejects")
    assert "1 of 2 rows stored, 1 refused" in told["message"]
    assert "/rejects" in told["suggestion"]


async def test_a_paused_and_a_cancelled_job_say_who_did_it_and_what_to_do(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, FILE, "people")
    await service.client.post(f"{job['links']['self']}/pause")
    paused = await explained(service, job)
    assert paused["reason"] == "paused_by_user"
    assert " since 20" in paused["message"]
    assert f"POST {job['links']['self']}/resume" in paused["suggestion"]
    await service.client.post(f"{job['links']['self']}/cancel")
    assert (await explained(service, job))["reason"] == "cancelled_before_rows"


async def test_the_attempts_of_a_job_are_its_timeline(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=4096)
    job = await post_import(service.client, people(ROWS), "people")
    await reaches(service, job, "running")
    await service.client.post(f"{job['links']['self']}/pause")
    await reaches(service, job, "paused_by_user")
    (first,) = await attempts_of(service, job)
    assert (first["number"], first["epoch"], first["result"]) == (1, 1, "paused")
    assert first["duration_s"] > 0
    await service.client.post(f"{job['links']['self']}/resume")
    await reaches(service, job, "running")
    second = (await attempts_of(service, job, cursor=1))[0]
    assert (second["epoch"], second["ended_at"], second["duration_s"], second["result"]) == (2, None, None, None)
    assert [attempt["epoch"] for attempt in await attempts_of(service, job, limit=1)] == [1]


async def test_an_estimate_is_there_while_a_job_runs_and_nought_at_its_end(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=4096)
    job = await post_import(service.client, people(ROWS), "people")
    assert job["progress"]["eta_s"] is None

    async def estimate() -> Json | None:
        shown: Json = (await service.client.get(job["links"]["self"])).json()
        return shown["progress"]["eta_s"] if shown["state"] == "running" else None

    found = await eventually(estimate)
    assert 0 <= found["low"] < found["high"]
    (listed,) = (await service.client.get("/v1/jobs")).json()["jobs"]
    assert listed["progress"]["eta_s"]["high"] > 0
    await service.client.post(f"{job['links']['self']}/cancel")
    await reaches(service, job, "cancelled_rows_kept")
    assert (await service.client.get(job["links"]["self"])).json()["progress"]["eta_s"] == {"low": 0, "high": 0}
