"""What can be seen of the service's health: its workers, why jobs failed and how long they took, metrics."""

from __future__ import annotations

import re

import httpx
import pytest

from service.store import stats
from service.store.database import WORKER_ROLE, open_database
from tests import running
from tests.conftest import StartService
from tests.running import Json, Servers, Service, eventually, imported, superuser
from workers.maintenance import fold_stats, roll_up

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? -?[0-9.e+-]+')


async def workers_of(service: Service) -> list[Json]:
    """The workers it shows."""
    return list((await service.client.get("/v1/workers")).json()["workers"])


async def metrics_of(service: Service) -> dict[str, float]:
    """Sample → value; checks the form of each line."""
    answer = await service.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not LINE.fullmatch(line)] == []
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]) for line in samples} <= names
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in samples)}


async def test_a_worker_tells_how_busy_it_is_and_leaves_in_order(start_service: StartService) -> None:
    service = await start_service("api")
    assert await workers_of(service) == []
    worker = await service.worker(worker_slots=3)
    shown = (await eventually(lambda: workers_of(service)))[0]
    assert shown["pid"] == worker.pid
    assert shown["name"] == f"{shown['host']}:{worker.pid}"
    assert {"queue": "cpu", "slots": 3, "used": 0} in shown["queues"]
    assert shown["state"] == "alive"
    assert shown["rss_bytes"] > 10_000_000
    assert shown["cpu"] >= 0
    assert len(shown["load"]) == 3
    assert await worker.stop() == 0
    assert await workers_of(service) == []


async def test_a_worker_that_is_killed_shows_as_silent_and_is_forgotten(service: Service) -> None:
    await eventually(lambda: workers_of(service))
    async with superuser(service.database_url) as db:
        await db.execute(
            "insert into worker (name, host, pid, version, queues, cpu, rss_bytes, load, seen_at) "
            "values ('dead:1', 'dead', 1, '0', '{}', 0, 0, '{0,0,0}', now() - interval '30 seconds')"
        )
        assert {w["name"]: w["state"] for w in await workers_of(service)}["dead:1"] == "silent"
        await db.execute("update worker set seen_at = now() - interval '11 minutes' where name = 'dead:1'")
    async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
        await fold_stats.run_once(database, keep_s=1e9)
    assert "dead:1" not in {w["name"] for w in await workers_of(service)}


async def test_statistics_tell_durations_failures_and_queues(service: Service) -> None:
    done = await imported(service.client, b"a,b\n1,2\n", "told", header="true")
    bad = await imported(service.client, b"a\n1\n", "told_badly", header="true", types='{"nowhere": "text"}')
    assert (done["state"], bad["state"]) == ("completed", "failed")
    later = {"processor": "echo", "input": {}, "run_at": "2099-01-01T00:00:00Z"}
    assert (await service.client.post("/v1/jobs", json=later)).status_code == 202
    async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
        await roll_up.run_once(database)
    told = (await service.client.get("/v1/stats", params={"by": "hour"})).json()
    assert {"processor": "csv", "code": bad["problem"]["code"], "jobs": 1} in told["failures"]
    assert sum(each["jobs"] for each in told["durations"]) == 1
    bounds = [each["up_to_s"] for each in told["durations"]]
    assert bounds == sorted(bounds)
    assert next(queue for queue in told["queues"] if queue["pending"])["pending"] == 1
    csv = (await service.client.get("/v1/stats", params={"by": "day", "processor": "csv"})).json()
    assert [each["processor"] for each in csv["processors"]] == ["csv"]
    assert csv["series"][-1]["jobs"] == {"completed": 1, "failed": 1, "cancelled": 0}
    echo = (await service.client.get("/v1/stats", params={"by": "week", "processor": "echo"})).json()
    assert (echo["failures"], echo["durations"], echo["processors"]) == ([], [], [])
    assert echo["series"][-1]["jobs"] == {"completed": 0, "failed": 0, "cancelled": 0}


async def test_metrics_tell_of_all_accounts_and_name_none(service: Service) -> None:
    async with await service.account("metered") as other:
        await imported(other, b"a,b\n1,2\n3\n", "metered", header="true")
    async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
        await roll_up.run_once(database)
        async with database.transaction() as db:
            completed = sum(e.jobs for e in await stats.all_ended(db) if (e.processor, e.state) == ("csv", "completed"))
    await eventually(lambda: workers_of(service))
    async with service.client.stream("GET", "/v1/events"):
        told = await metrics_of(service)
    assert told["millrace_stream_clients"] == 1
    assert told['millrace_ended_jobs{processor="csv",state="completed"}'] == completed
    assert told['millrace_job_run_seconds_bucket{processor="csv",le="+Inf"}'] == completed
    assert told['millrace_job_run_seconds_count{processor="csv"}'] == completed
    assert told['millrace_rows_total{processor="csv",as="rejected"}'] >= 1
    assert told['millrace_read_bytes_total{processor="csv"}'] > 0
    assert told["millrace_redis_up"] == 1
    assert told["millrace_upload_bytes_total"] >= 10
    assert told['millrace_http_requests_total{method="POST",status="202"}'] >= 1
    assert any(name.startswith("millrace_worker_cpu{") for name in told)
    assert any(name.startswith("millrace_worker_slots{worker=") for name in told)
    text = (await service.client.get("/metrics")).text
    assert "metered" not in text


async def test_metrics_say_when_redis_is_away_and_want_their_key(start_service: StartService) -> None:
    service = await start_service("api", redis_url="redis://127.0.0.1:9/0", metrics_key="scrape")
    answer = await service.client.get("/metrics", headers={"Authorization": "Bearer scrape"})
    assert "millrace_redis_up 0" in answer.text
    assert (await service.client.get("/metrics")).status_code == 401
    async with httpx.AsyncClient(base_url=service.url) as stranger:
        assert (await stranger.get("/metrics")).status_code == 401


async def test_old_hours_become_one_sum_that_keeps_what_they_counted(servers: Servers, service: Service) -> None:
    total = "select coalesce(sum(jobs), 0) from job_stat"
    async with superuser(service.database_url) as db:
        account_id = await running.account_id_of(service.database_url)
        for hours in (1, 2, 1_000):
            await db.execute(
                "insert into job_stat select $1, date_trunc('hour', now()) - make_interval(hours => $2), 'old', "
                "'completed', 'complete', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0",
                account_id,
                hours,
            )
        before = await db.fetchval(total)
        async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
            for _ in range(2):
                await fold_stats.run_once(database, keep_s=30 * 3600)
        assert await db.fetchval(total) == before
        assert await db.fetchval("select count(*) from job_stat where processor = 'old'") == 3
        assert await db.fetchval("select count(*) from job_stat where processor = 'old' and hour = '-infinity'") == 1


@pytest.mark.parametrize("path", ["/v1/workers", "/v1/stats"])
async def test_health_is_not_for_strangers(service: Service, path: str) -> None:
    async with httpx.AsyncClient(base_url=service.url) as stranger:
        assert (await stranger.get(path)).status_code == 401
