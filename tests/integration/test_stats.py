"""Statistics say what a count over all jobs would say, whoever rolls them up and however often jobs end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.store import claims, stats
from service.store.database import WORKER_ROLE, Database, open_database
from tests import running
from tests.conftest import StartService
from tests.running import Servers, Service, account_id_of, eventually, imported, post_import
from workers import outcome
from workers.maintenance import roll_up

FILE = b"id,name\n1,Ann\n2,Bob\n3\n"
HOUR = timedelta(hours=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday

BRUTE_FORCE = """
select
  account_id, date_trunc('hour', finished_at) as hour, processor, state, outcome,
  count(*) as jobs, sum(read) as read, sum(inserted) as inserted, sum(rejected) as rejected, sum(done) as bytes,
  coalesce(sum(ran.ms), 0) as run_ms,
  coalesce(sum(round(extract(epoch from started_at - due_at) * 1000)), 0) as wait_ms
from job
left join lateral (
  select round(sum(extract(epoch from ended_at - attempt.started_at)) * 1000) as ms from attempt where job_id = job.id
) as ran on true
where finished_at is not null
group by 1, 2, 3, 4, 5
order by 1, 2, 3, 4, 5
"""
ROLLED_UP = """
select
  account_id, hour, processor, state, outcome,
  sum(jobs) as jobs, sum(read) as read, sum(inserted) as inserted, sum(rejected) as rejected, sum(bytes) as bytes,
  sum(run_ms) as run_ms, sum(wait_ms) as wait_ms
from job_stat
group by 1, 2, 3, 4, 5
having sum(jobs) > 0
order by 1, 2, 3, 4, 5
"""


@pytest.fixture(scope="module")
async def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service without a worker."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), "api") as started:
        yield started


@pytest.fixture
async def database(api: Service) -> AsyncIterator[Database]:
    """Its database without any job."""
    async with open_database(api.database_url, role=WORKER_ROLE, connections=6, name="test") as opened:
        async with opened.connection() as db:
            await db.execute("truncate job, job_stat, job_end cascade")
        yield opened


async def end(
    db: asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any],
    account_id: UUID,
    *,
    at: datetime,
    state: str = "completed",
    run_s: float | None = 1.0,
    wait_s: float = 2.0,
    processor: str = "csv",
    read: int = 0,
    rejected: int = 0,
) -> UUID:
    """A job that waited `wait_s`, ran for `run_s`, in one attempt, and ended `at`; it was never started without."""
    job_id, started_at = uuid4(), None if run_s is None else at - timedelta(seconds=run_s)
    due_at = (started_at or at) - timedelta(seconds=wait_s)
    await db.execute(
        """
        insert into job (id, account_id, processor, queue, state, unit, phase, epoch, run_at, created_at, started_at)
        values ($1, $2, $3, 'cpu', 'running', 'bytes', '', 1, $4, $4, $5)
        """,
        job_id,
        account_id,
        processor,
        due_at,
        started_at,
    )
    if started_at is not None:
        attempt = "insert into attempt (job_id, account_id, epoch, number, worker, started_at, ended_at) "
        await db.execute(attempt + "values ($1, $2, 1, 1, 'w', $3, $4)", job_id, account_id, started_at, at)
    await db.execute("set role none")  # a worker completes jobs by the statement that counts them
    await db.execute(
        """
        update job
        set state = $2, outcome = 'partial', problem = '{}', finished_at = $3,
            read = $4, inserted = $4::bigint - $5, rejected = $5, done = $4 * 10
        where id = $1
        """,
        job_id,
        state,
        at,
        read,
        rejected,
    )
    await db.execute(f"set role {WORKER_ROLE}")
    return job_id


async def retry(database: Database, job_id: UUID) -> None:
    async with database.connection() as db:
        await db.execute("update job set state = 'queued', outcome = null, finished_at = null where id = $1", job_id)


async def agree(database: Database) -> int:
    """Everything is counted, and as a count over all jobs would; how many lines that are."""
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from job_end") == 0
        wanted = await db.fetch(BRUTE_FORCE)
        assert await db.fetch(ROLLED_UP) == wanted
        return len(wanted)


async def test_the_roll_up_equals_a_count_over_all_jobs(
    api: Service, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_up, "BATCH", 7)  # so that many transactions share the work
    chance = random.Random(5)
    account_id = await account_id_of(api.database_url)
    async with database.connection() as db:
        for _ in range(200):
            await end(
                db,
                account_id,
                at=NOON + chance.random() * 5 * HOUR,
                state=chance.choice(["completed", "failed", "cancelled"]),
                run_s=chance.choice([None, 0.05, 0.3, 20, 500]),
                wait_s=chance.random() * 10,
                processor=chance.choice(["csv", "ndjson"]),
                read=chance.randrange(10, 1000),
                rejected=chance.randrange(10),
            )
    counted = 0
    while some := sum(await asyncio.gather(*(roll_up.run_once(database) for _ in range(4)))):
        counted += some
    assert counted == 200
    assert await agree(database) > 20
    assert await roll_up.run_once(database) == 0


async def test_two_without_a_lock_count_each_end_once_too(api: Service, database: Database) -> None:
    account_id = await account_id_of(api.database_url)
    async with database.connection() as db:
        for _ in range(20):
            await end(db, account_id, at=NOON, read=3)

    async def count() -> int:
        async with database.transaction() as db:
            return await stats.roll_up(db, 10)

    while await asyncio.gather(count(), count()) != [0, 0]:
        pass
    assert await agree(database) == 1


async def test_a_roll_up_that_is_cut_short_counts_nothing(api: Service, database: Database) -> None:
    async with database.connection() as db:
        await end(db, await account_id_of(api.database_url), at=NOON, read=3)
    with pytest.raises(RuntimeError):
        async with database.transaction() as db:
            assert await stats.roll_up(db, 10) == 1
            raise RuntimeError
    assert await roll_up.run_once(database) == 1
    assert await agree(database) == 1


@pytest.mark.parametrize("is_counted", [True, False], ids=["counted before", "not counted yet"])
async def test_a_retried_job_counts_by_its_latest_end(api: Service, database: Database, is_counted: bool) -> None:
    account_id = await account_id_of(api.database_url)
    async with database.connection() as db:
        job_id = await end(db, account_id, at=NOON, state="failed", read=5, rejected=1)
        if is_counted:
            await roll_up.run_once(database)
        await retry(database, job_id)
        await roll_up.run_once(database)
        assert await agree(database) == 0
        [claim] = await claims.claim(db, "cpu", "w", lease_s=60)
        assert await claims.settle(db, [(claim, outcome.DONE)])
    await roll_up.run_once(database)
    assert await agree(database) == 1


async def test_jobs_that_complete_in_one_statement_share_entries_and_count_one_by_one(
    api: Service, database: Database
) -> None:
    account_id = await account_id_of(api.database_url)
    async with database.connection() as db:
        await db.execute(
            """
            insert into job (id, account_id, processor, queue, state, unit, phase, done)
            select
              gen_random_uuid(), $1, case when n % 3 = 0 then 'csv' else 'json' end, 'cpu', 'queued', 'bytes', '', n
            from generate_series(1, 30) n
            """,
            account_id,
        )
        taken = await claims.claim(db, "cpu", "w", lease_s=60, most=30)
        await db.execute("update job set read = done, inserted = done - 1, rejected = 1 where done % 2 = 0")
        await db.execute(
            """
            update lease
            set started_at = now() - case when done > 20 then interval '7 days' else interval '50 s' end
            from job
            where job.id = job_id
            """
        )
        assert len(await claims.settle(db, [(claim, outcome.DONE) for claim in taken])) == 30
        entries = await db.fetch("select processor, outcome, run_class, jobs from job_end")
    # 50 s and a little lies between 0.1 s * 2^8 and 0.1 s * 2^9, a week between 2^22 and 2^23
    assert {entry["run_class"] for entry in entries} == {9, 23}
    assert len({tuple(entry)[:3] for entry in entries}) == len(entries) == 8
    assert await roll_up.run_once(database) == sum(entry["jobs"] for entry in entries) == 30
    assert await agree(database) == 4


@pytest.mark.parametrize(
    ("run_ms", "run_class"),
    [(None, -1), (0, 0), (100, 0), (101, 1), (200, 1), (201, 2), (400, 2), (401, 3)]
    + [(100 * 2**n + more, n + more) for n in (9, 22, 30) for more in (0, 1)],
)
async def test_a_class_of_run_times_is_twice_as_wide_as_the_one_before(
    database: Database, run_ms: int | None, run_class: int
) -> None:
    async with database.connection() as db:
        assert await db.fetchval("select run_class($1)", run_ms) == run_class


async def test_a_series_has_every_span_and_what_ended_in_it(api: Service, database: Database) -> None:
    account_id = await account_id_of(api.database_url)
    async with database.connection() as db:
        for hours, state in ((0, "completed"), (0, "failed"), (2, "completed"), (30, "cancelled"), (200, "completed")):
            await end(db, account_id, at=NOON + hours * HOUR, state=state, read=10, rejected=1)
    await roll_up.run_once(database)

    async def ask(by: str, to: datetime) -> list[tuple[str, dict[str, int], int]]:
        query = {"by": by, "from": (NOON + HOUR / 2).isoformat(), "to": to.isoformat()}
        answer = await api.client.get("/v1/stats", params=query)
        assert answer.status_code == 200, answer.text
        return [(p["start"], p["jobs"], p["rows"]["rejected"]) for p in answer.json()["series"]]

    def jobs(completed: int = 0, failed: int = 0, cancelled: int = 0) -> dict[str, int]:
        return {"completed": completed, "failed": failed, "cancelled": cancelled}

    assert await ask("hour", NOON + 3 * HOUR) == [
        ("2026-05-04T12:00:00+00:00", jobs(1, 1), 2),
        ("2026-05-04T13:00:00+00:00", jobs(), 0),
        ("2026-05-04T14:00:00+00:00", jobs(1), 1),
    ]
    assert await ask("day", NOON + 40 * HOUR) == [
        ("2026-05-04T00:00:00+00:00", jobs(2, 1), 3),
        ("2026-05-05T00:00:00+00:00", jobs(0, 0, 1), 1),
        ("2026-05-06T00:00:00+00:00", jobs(), 0),
    ]
    assert await ask("week", NOON + 201 * HOUR) == [
        ("2026-05-04T00:00:00+00:00", jobs(2, 1, 1), 4),
        ("2026-05-11T00:00:00+00:00", jobs(1), 1),
    ]


async def test_processors_have_a_success_rate_and_quantiles(api: Service, database: Database) -> None:
    account_id = await account_id_of(api.database_url)
    run_times = [0.2 + n * 0.1 for n in range(100)]
    async with database.connection() as db:
        for run_s in run_times:
            await end(db, account_id, at=NOON, run_s=run_s, wait_s=4)
        for _ in range(25):
            await end(db, account_id, at=NOON, state="failed", run_s=900)
        await end(db, account_id, at=NOON, state="cancelled", run_s=None)
        await end(db, account_id, at=NOON, processor="ndjson", state="failed", run_s=1)
    await roll_up.run_once(database)
    query = {"from": NOON.isoformat(), "to": (NOON + HOUR).isoformat()}
    csv, ndjson = (await api.client.get("/v1/stats", params=query)).json()["processors"]
    assert (csv["completed"], csv["failed"], csv["cancelled"]) == (100, 25, 1)
    assert csv["success_rate"] == 0.8
    assert csv["run_mean_s"] == pytest.approx(sum(run_times) / 100)
    assert csv["run_p50_s"] == pytest.approx(run_times[49], rel=0.15)
    assert csv["run_p95_s"] == pytest.approx(run_times[94], rel=0.3)
    assert csv["wait_mean_s"] == pytest.approx((100 * 4 + 25 * 2) / 125)
    assert (ndjson["success_rate"], ndjson["run_p50_s"]) == (0, None)


async def test_live_numbers_and_series_are_ones_own(api: Service, database: Database) -> None:
    async with await api.account("other") as other, database.connection() as db:
        await end(db, await account_id_of(api.database_url), at=NOON, read=1)
        await end(db, await account_id_of(api.database_url, "other"), at=NOON, read=2)
        await roll_up.run_once(database)
        mine = [await post_import(api.client, FILE, "people") for _ in range(3)]
        await db.execute("update job set run_at = now() - interval '1 min' where id = $1", UUID(mine[0]["id"]))
        await db.execute("update job set state = 'running' where id = $1", UUID(mine[1]["id"]))
        query = {"from": NOON.isoformat(), "to": (NOON + HOUR).isoformat()}
        told = (await api.client.get("/v1/stats", params=query)).json()
        theirs = (await other.get("/v1/stats", params=query)).json()
    assert 60 <= told["now"].pop("oldest_wait_s") < 120
    assert told["now"] == {"pending": 0, "queued": 2, "running": 1, "retrying": 0, "paused": 0}
    assert theirs["now"]["oldest_wait_s"] is None
    assert set(theirs["now"].values()) == {0, None}
    assert [point["rows"]["read"] for point in told["series"]] == [1]
    assert [point["rows"]["read"] for point in theirs["series"]] == [2]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"by": "minute"}, "invalid_choice"),
        ({"from": "yesterday"}, "invalid_from"),
        ({"to": "2026-01-01T00:00:00"}, "invalid_to"),
        ({"to": "0001-01-01T00:00:00Z"}, "invalid_to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "invalid_from"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "invalid_from"),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(api: Service, query: dict[str, str], code: str) -> None:
    answer = await api.client.get("/v1/stats", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_real_jobs_are_counted_by_themselves(start_service: StartService) -> None:
    service = await start_service("all")
    due = datetime.now(UTC) + timedelta(seconds=1)
    jobs = [
        await imported(service.client, FILE, "people", header="true"),
        await imported(service.client, FILE, "people", header="true", run_at=due.isoformat()),
        await imported(service.client, b"\xff\xfe", "broken"),
    ]
    created, started = ([datetime.fromisoformat(job[name]) for job in jobs] for name in ("created_at", "started_at"))
    created[1] = max(created[1], due)  # what was not due did not wait
    waited = sum((start - create).total_seconds() for create, start in zip(created, started, strict=True))

    async def counted() -> list[dict[str, Any]]:
        series = (await service.client.get("/v1/stats")).json()["series"]
        return series if sum(sum(point["jobs"].values()) for point in series) == 3 else []

    points = (await eventually(counted))[-2:]  # the hour may have changed meanwhile

    def total(of: str, name: str) -> int:
        return sum(point[of][name] for point in points)

    assert [total("jobs", name) for name in ("completed", "failed", "cancelled")] == [2, 1, 0]
    assert [total("rows", name) for name in ("read", "inserted", "rejected")] == [6, 4, 2]
    assert sum(point["bytes"] for point in points) == 2 * len(FILE)
    assert sum(point["wait_s"] for point in points) == pytest.approx(waited, abs=0.01)
    async with open_database(service.database_url, role=WORKER_ROLE, connections=1, name="test") as database:
        await agree(database)
