"""Schedules: one job a slot however many workers, what an outage leaves behind, and what a user may change."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from service.bus import Bus
from service.store.database import WORKER_ROLE, Database, open_database
from tests.conftest import StartService
from tests.running import Json, Service, account_id_of, eventually, rows_of, settled
from workers.maintenance import run_schedules

FILE = b"id,name\n1,Ann\n2,Bob\n"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def api(start_service: StartService) -> Service:
    """A service without workers: only the duties that a test starts run any schedule."""
    return await start_service("api")


@asynccontextmanager
async def worker_database(service: Service) -> AsyncIterator[tuple[Database, Bus]]:
    """What one worker process has of its own."""
    async with (
        open_database(service.database_url, role=WORKER_ROLE, connections=2, name="test") as database,
        Redis.from_url(service.settings["MILLRACE_REDIS_URL"]) as redis,
    ):
        yield database, Bus(redis)


async def run_once(service: Service) -> int:
    """One look of one worker."""
    async with worker_database(service) as (database, bus):
        return await run_schedules.run_once(database, bus)


async def stored_file(client: httpx.AsyncClient) -> str:
    """The id of an upload."""
    answer = await client.post("/v1/uploads", content=FILE)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def scheduled(client: httpx.AsyncClient, **wanted: Any) -> Json:
    """A new schedule, every minute unless `wanted` says otherwise."""
    job = {"processor": "csv", "upload_id": await stored_file(client), "dataset": "people"}
    body = {"name": "minutely", "cron": "* * * * *", "job": job | wanted.pop("job", {})} | wanted
    answer = await client.post("/v1/schedules", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def minutes_ago(*minutes: int) -> tuple[str, list[datetime]]:
    """A cron expression of moments that have just passed, once an hour each; and these moments."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    moments = [now - n * MINUTE for n in minutes]
    return f"{','.join(str(moment.minute) for moment in moments)} * * * *", moments


async def shown(client: httpx.AsyncClient, schedule: Json) -> Json:
    """The schedule as it is now."""
    return dict((await client.get(schedule["links"]["self"])).json())


async def execute(service: Service, statement: str) -> None:
    """Run a statement as the superuser."""
    db = await asyncpg.connect(service.database_url)
    try:
        await db.execute(statement)
    finally:
        await db.close()


async def outage(service: Service, ago: timedelta) -> datetime:
    """Let every schedule be due since the whole minute that long ago, which is returned."""
    db = await asyncpg.connect(service.database_url)
    try:
        since: datetime = await db.fetchval("select date_trunc('minute', now() - $1::interval)", ago)
        await db.execute("update millrace.schedule set next_run_at = $1 where not paused", since)
        return since
    finally:
        await db.close()


async def slots_of_jobs(client: httpx.AsyncClient) -> list[datetime]:
    """The slots that have a job, oldest first; twice what has two."""
    jobs = (await client.get("/v1/jobs", params={"limit": 1000})).json()["jobs"]
    return sorted(datetime.fromisoformat(job["metadata"]["schedule"]["slot"]) for job in jobs)


async def test_a_schedule_shows_what_it_is_and_its_next_runs(api: Service) -> None:
    schedule = await scheduled(
        api.client, name=" nightly ", cron="30  2 * * *", time_zone="Asia/Kathmandu", job={"metadata": {"a": 1}}
    )
    assert (schedule["name"], schedule["cron"]) == ("nightly", "30 2 * * *")
    assert (schedule["missed"], schedule["overlap"], schedule["paused"]) == ("run_once", "allow", False)
    assert schedule["job"]["metadata"] == {"a": 1}
    assert (schedule["last_run_at"], schedule["last_job_id"], schedule["last_problem"]) == (None, None, None)
    moments = [datetime.fromisoformat(run["at"]) for run in schedule["next_runs"]]
    assert [run["local"][11:] for run in schedule["next_runs"]] == ["02:30:00+05:45"] * 5
    assert {(moment.hour, moment.minute, moment.utcoffset()) for moment in moments} == {(20, 45, timedelta(0))}
    assert moments == [moments[0] + timedelta(days=n) for n in range(5)]
    assert datetime.fromisoformat(schedule["next_run_at"]) == moments[0] > datetime.now(UTC) - MINUTE
    assert await shown(api.client, schedule) == schedule


async def test_schedules_are_listed_page_by_page_newest_first(api: Service) -> None:
    made = [(await scheduled(api.client, name=f"s{n}"))["id"] for n in range(3)]
    first = (await api.client.get("/v1/schedules", params={"limit": 2})).json()
    rest = (await api.client.get("/v1/schedules", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [s["id"] for s in first["schedules"] + rest["schedules"]] == made[::-1]
    assert rest["next_cursor"] is None


async def test_a_slot_brings_its_job_when_its_time_comes(service: Service) -> None:
    cron, (slot,) = minutes_ago(5)
    schedule = await scheduled(service.client, name="live", cron=cron, job={"dataset": "live", "metadata": {"a": 1}})
    await outage(service, 6 * MINUTE)
    after = await eventually(lambda: _after_a_run(service.client, schedule))
    job = (await service.client.get(after["links"]["last_job"])).json()
    assert job["metadata"] == {"a": 1, "schedule": {"id": schedule["id"], "name": "live", "slot": slot.isoformat()}}
    assert (await settled(service.client, job))["outcome"] == "complete"
    assert [row["name"] for row in await rows_of(service.client, "live")] == ["Ann", "Bob"]
    assert after["next_runs"][0]["at"] == (slot + timedelta(hours=1)).isoformat()


async def _after_a_run(client: httpx.AsyncClient, schedule: Json) -> Json:
    found = await shown(client, schedule)
    return found if found["last_job_id"] else {}


async def test_workers_that_race_for_fifty_slots_start_each_once(api: Service) -> None:
    for n in range(5):
        await scheduled(api.client, name=f"s{n}", missed="run_all")
    since = await outage(api, 9 * MINUTE)
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker_database(api)) for _ in range(6)]
        counts = await asyncio.gather(*(run_schedules.run_once(*worker) for worker in workers))
    found = await slots_of_jobs(api.client)
    passed = len(set(found))  # 10, or 11 if a minute began meanwhile
    assert passed in (10, 11)
    assert sorted(set(found)) == [since + n * MINUTE for n in range(passed)]
    assert 50 <= sum(counts) == len(found) <= 55
    assert all(found.count(slot) == 5 for slot in sorted(set(found))[:10])


async def test_a_slot_that_was_taken_never_runs_again_even_if_the_schedule_is_set_back(api: Service) -> None:
    await scheduled(api.client, missed="run_all")
    await outage(api, 50 * MINUTE)
    first = await run_once(api)
    assert first >= 51
    await outage(api, 50 * MINUTE)
    again = await run_once(api)
    assert again <= 1  # a minute that began meanwhile
    found = await slots_of_jobs(api.client)
    assert len(found) == len(set(found)) == first + again


async def test_a_look_at_nothing_due_changes_nothing(api: Service) -> None:
    schedule = await scheduled(api.client, cron="0 0 29 2 *")
    assert await run_once(api) == 0
    assert await shown(api.client, schedule) == schedule


@pytest.mark.parametrize(("missed", "made_up_for"), [("skip", 0), ("run_once", 1), ("run_all", 3)])
async def test_after_an_outage_a_schedule_does_what_its_policy_says(
    api: Service, missed: str, made_up_for: int
) -> None:
    cron, slots = minutes_ago(7, 6, 5)
    schedule = await scheduled(api.client, cron=cron, missed=missed)
    await outage(api, 8 * MINUTE)
    assert await run_once(api) == made_up_for
    assert await slots_of_jobs(api.client) == slots[3 - made_up_for :]
    after = await shown(api.client, schedule)
    assert after["next_runs"][0]["at"] == (slots[0] + timedelta(hours=1)).isoformat()
    assert (after["last_job_id"] is not None) == (made_up_for > 0)
    assert await run_once(api) == 0


async def test_an_outage_brings_the_latest_hundred_slots_at_most(api: Service) -> None:
    await scheduled(api.client, missed="run_all")
    await outage(api, timedelta(days=400))
    assert await run_once(api) == 100
    found = await slots_of_jobs(api.client)
    assert found == [found[-1] - n * MINUTE for n in reversed(range(100))]
    assert found[-1] > datetime.now(UTC) - 2 * MINUTE


async def test_a_paused_schedule_rests_and_catches_up_nothing_when_resumed(api: Service) -> None:
    schedule = await scheduled(api.client, missed="run_all")
    await outage(api, 5 * MINUTE)
    path = schedule["links"]["self"]
    paused = (await api.client.patch(path, json={"paused": True})).json()
    assert (paused["paused"], paused["next_run_at"], paused["next_runs"]) == (True, None, [])
    assert await run_once(api) == 0
    resumed = (await api.client.patch(path, json={"paused": False})).json()
    assert datetime.fromisoformat(resumed["next_run_at"]) > datetime.now(UTC) - timedelta(seconds=5)
    assert len(resumed["next_runs"]) == 5


async def test_a_deleted_schedule_starts_nothing_and_its_jobs_stay(api: Service) -> None:
    schedule = await scheduled(api.client)
    job = (await api.client.post(schedule["links"]["run"])).json()
    await outage(api, MINUTE)
    assert (await api.client.delete(schedule["links"]["self"])).status_code == 204
    assert (await api.client.delete(schedule["links"]["self"])).status_code == 404
    assert await run_once(api) == 0
    assert (await api.client.get(job["links"]["self"])).status_code == 200


async def test_a_change_of_name_or_job_keeps_what_was_missed_and_a_change_of_time_does_not(api: Service) -> None:
    schedule = await scheduled(api.client)
    path, since = schedule["links"]["self"], await outage(api, 5 * MINUTE)
    renamed = (await api.client.patch(path, json={"name": "other", "overlap": "skip"})).json()
    assert (renamed["name"], renamed["overlap"], renamed["cron"]) == ("other", "skip", "* * * * *")
    assert datetime.fromisoformat(renamed["next_run_at"]) == since
    moved = (await api.client.patch(path, json={"cron": "0 9 * * *", "time_zone": "Europe/Berlin"})).json()
    assert moved["next_runs"][0]["local"][11:16] == "09:00"
    assert datetime.fromisoformat(moved["next_run_at"]) > since + 5 * MINUTE
    job = {"processor": "ndjson", "upload_id": schedule["job"]["upload_id"], "dataset": "others"}
    replaced = (await api.client.patch(path, json={"job": job})).json()
    assert (replaced["job"]["processor"], replaced["job"]["dataset"]) == ("ndjson", "others")
    assert await shown(api.client, schedule) == replaced


async def test_a_run_now_is_outside_the_slots_even_while_paused(api: Service) -> None:
    schedule = await scheduled(api.client, paused=True, cron="0 0 29 2 *")
    answer = await api.client.post(schedule["links"]["run"])
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, job["links"]["self"])
    assert job["metadata"]["schedule"] == {"id": schedule["id"], "name": "minutely"}
    after = await shown(api.client, schedule)
    assert (after["last_job_id"], after["paused"]) == (job["id"], True)
    assert await api.rows_in("schedule_slot") == {"schedule_slot": 0}


async def test_a_run_now_with_a_key_is_answered_with_its_first_job(api: Service) -> None:
    path, headers = (await scheduled(api.client))["links"]["run"], {"Idempotency-Key": "one"}
    answers = [await api.client.post(path, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert await api.rows_in("job") == {"job": 1}


async def test_a_slot_that_would_overlap_brings_no_job_and_says_so(api: Service) -> None:
    cron, _ = minutes_ago(7, 6)
    schedule = await scheduled(api.client, cron=cron, overlap="skip", missed="run_all")
    live = (await api.client.post(schedule["links"]["run"])).json()
    again = await api.client.post(schedule["links"]["run"])
    assert (again.status_code, again.json()["id"]) == (200, live["id"])
    await outage(api, 6 * MINUTE + timedelta(seconds=30))
    assert await run_once(api) == 0
    after = await shown(api.client, schedule)
    assert (after["last_problem"]["code"], after["last_job_id"]) == ("still_running", live["id"])
    assert live["id"] in after["last_problem"]["message"]


async def test_a_slot_that_overlaps_nothing_any_more_runs_and_clears_the_problem(api: Service) -> None:
    cron, slots = minutes_ago(7, 6)
    schedule = await scheduled(api.client, cron=cron, overlap="skip")
    live = (await api.client.post(schedule["links"]["run"])).json()
    await execute(api, "update millrace.schedule set last_problem = '{}'")
    assert (await api.client.post(live["links"]["self"] + "/cancel")).status_code == 200
    await outage(api, 8 * MINUTE)
    assert await run_once(api) == 1
    after = await shown(api.client, schedule)
    job = (await api.client.get(after["links"]["last_job"])).json()
    assert (job["metadata"]["schedule"]["slot"], after["last_problem"]) == (slots[-1].isoformat(), None)


async def test_a_slot_whose_upload_is_gone_says_so_and_the_schedule_goes_on(api: Service) -> None:
    schedule = await scheduled(api.client)
    await execute(api, "delete from millrace.upload")
    since = await outage(api, timedelta(0))
    assert await run_once(api) == 0
    after = await shown(api.client, schedule)
    assert (after["last_problem"]["code"], after["last_job_id"]) == ("not_found", None)
    assert after["last_problem"]["suggestion"]
    assert datetime.fromisoformat(after["next_run_at"]) > since
    assert await api.rows_in("dataset") == {"dataset": 0}


async def test_a_schedule_whose_zone_this_machine_does_not_know_is_paused_and_others_go_on(api: Service) -> None:
    strange = await scheduled(api.client, name="strange")
    await scheduled(api.client, name="plain")
    await execute(api, "update millrace.schedule set time_zone = 'Mars/Olympus' where name = 'strange'")
    await outage(api, timedelta(0))
    assert await run_once(api) == 1
    after = await shown(api.client, strange)
    assert (after["paused"], after["last_problem"]["code"]) == (True, "unknown_time_zone")


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"cron": "61 * * * *"}, 422, "invalid_cron"),
        ({"cron": "0 0 31 2 *"}, 422, "invalid_cron"),
        ({"cron": "* * */20 * 1L"}, 422, "invalid_cron"),
        ({"cron": "* " * 200}, 422, "invalid_request"),
        ({"time_zone": "Berlin"}, 422, "unknown_time_zone"),
        ({"name": "  "}, 422, "invalid_request"),
        ({"name": "a\nb"}, 422, "invalid_request"),
        ({"missed": "sometimes"}, 422, "invalid_request"),
        ({"job": {"processor": "nothing"}}, 422, "unknown_processor"),
        ({"job": {"options": {"nothing": 1}}}, 422, "invalid_options"),
        ({"job": {"dataset": "NO"}}, 422, "invalid_dataset_name"),
        ({"job": {"run_at": "2027-01-01T00:00:00Z"}}, 422, "invalid_request"),
        ({"job": {"upload_id": str(uuid4())}}, 404, "not_found"),
        ({"name": "taken"}, 409, "conflict"),
    ],
)
async def test_what_does_not_fit_is_refused_when_made_and_when_changed(
    service: Service, wrong: Json, status: int, code: str
) -> None:
    taken = await service.client.post("/v1/schedules", json=await _body(service, name="taken", cron="0 0 29 2 *"))
    assert taken.status_code in (201, 409)
    made = await service.client.post("/v1/schedules", json=await _body(service, **wrong))
    assert (made.status_code, made.json()["code"]) == (status, code), made.text
    assert made.json()["suggestion"]
    path = (await scheduled(service.client, name=str(uuid4()), cron="0 0 29 2 *"))["links"]["self"]
    whole = await _body(service, **wrong)
    changed = await service.client.patch(path, json={name: whole[name] for name in wrong})
    assert (changed.status_code, changed.json()["code"]) == (status, code), changed.text


async def _body(service: Service, **wanted: Any) -> Json:
    job = {"processor": "csv", "upload_id": await stored_file(service.client), "dataset": "people"}
    return {"name": "new", "cron": "0 0 29 2 *", "job": job | wanted.pop("job", {})} | wanted


async def test_an_account_has_no_more_than_its_limit(api: Service) -> None:
    schedule = await scheduled(api.client)
    await execute(
        api,
        "insert into millrace.schedule (id, account_id, name, cron, time_zone, job, missed, overlap) "
        "select gen_random_uuid(), account_id, n::text, cron, time_zone, job, missed, overlap "
        "from millrace.schedule, generate_series(1, 999) n",
    )
    body = {"name": "one more", "cron": "* * * * *", "job": schedule["job"]}
    answer = await api.client.post("/v1/schedules", json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")


async def test_what_is_shown_as_job_can_be_sent_back(api: Service) -> None:
    schedule = await scheduled(api.client, job={"options": {"header": True}, "dedupe_key": "k", "priority": 9})
    answer = await api.client.patch(schedule["links"]["self"], json={"job": schedule["job"]})
    assert answer.json() == schedule


async def test_another_accounts_schedules_do_not_exist(api: Service) -> None:
    mine = await scheduled(api.client)
    async with await api.account("other") as other:
        assert (await other.get("/v1/schedules")).json()["schedules"] == []
        for method, path in (("GET", "self"), ("PATCH", "self"), ("DELETE", "self"), ("POST", "run")):
            content = b"{}" if method == "PATCH" else None
            assert (await other.request(method, mine["links"][path], content=content)).status_code == 404, method
        stolen = {"name": "minutely", "cron": "* * * * *", "job": mine["job"]}
        assert (await other.post("/v1/schedules", json=stolen)).status_code == 404
        theirs = await scheduled(other)  # of the same name, with a file of their own
        await outage(api, timedelta(0))
        assert await run_once(api) == 2
        jobs = (await other.get("/v1/jobs")).json()["jobs"]
        assert [job["metadata"]["schedule"]["id"] for job in jobs] == [theirs["id"]]


async def test_the_api_role_sees_schedules_of_its_account_only_and_takes_no_slots(api: Service) -> None:
    await scheduled(api.client)
    settings = {"role": "millrace_api", "search_path": "millrace"}
    db = await asyncpg.connect(api.database_url, server_settings=settings)
    try:
        assert await db.fetchval("select count(*) from schedule") == 0
        account_id = await account_id_of(api.database_url)
        await db.execute("select set_config('millrace.account', $1, false)", str(account_id))
        assert await db.fetchval("select count(*) from schedule") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.fetch("select * from schedule_slot")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await db.execute("update schedule set account_id = $1", uuid4())
    finally:
        await db.close()


async def test_the_bodies_of_schedules_are_in_the_openapi_document(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    referred = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert {"JobBody", "ScheduleBody", "ScheduleChange"} <= referred <= set(schemas)
    assert "#/$defs/" not in json.dumps(document)
    assert schemas["ScheduleBody"]["properties"]["job"]["$ref"] == "#/components/schemas/JobBody"
