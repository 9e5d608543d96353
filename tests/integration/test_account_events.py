"""All events of an account over one stream: each once, in an order that never changes, however the line is cut."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from service.api.streams import GATHER_S, Streams
from service.bus import CHANGES, Bus
from service.dispatch import open_redis
from service.domain.event import Position
from service.store import events, migrations
from service.store.database import API_ROLE, Connection, Database, open_database
from tests.conftest import StartService
from tests.running import Servers, Service, account_id_of, eventually, imported, post_import
from tests.sse import Message, connected, messages

FILE = b"a,b\n1,x\n2,y\n"
WRITERS = 8
JOBS = 25
TURNS = 120
FOLLOWERS = 4
CLIENTS = 300

TELL = """
with moved as (update millrace.job set event_seq = event_seq + 1 where id = $1 returning *)
insert into millrace.event (job_id, account_id, seq, type, data)
select id, account_id, event_seq, 'job.prioritized', '{}' from moved
"""


@pytest.fixture
async def api(start_service: StartService) -> Service:
    """A service without a worker, whose events are those that the test writes."""
    return await start_service("api")


@asynccontextmanager
async def superuser(service: Service) -> AsyncIterator[asyncpg.Connection]:
    """A connection beside the service."""
    db = await asyncpg.connect(service.database_url)
    try:
        yield db
    finally:
        await db.close()


async def queued(client: httpx.AsyncClient, count: int) -> list[UUID]:
    """Ids of new jobs, which wait."""
    return [UUID((await post_import(client, FILE, f"d{n}"))["id"]) for n in range(count)]


async def write(service: Service, job_ids: list[UUID], seed: int) -> None:
    """Many transactions that get their id, dawdle, tell of one or two jobs, dawdle, and mostly commit."""
    dice = random.Random(seed)
    async with superuser(service) as db:
        for _ in range(TURNS):
            transaction = db.transaction()
            await transaction.start()
            if dice.random() < 0.5:
                await db.execute("select pg_current_xact_id()")
            await asyncio.sleep(dice.random() * 0.01)
            for job_id in sorted(dice.sample(job_ids, dice.randint(1, 2))):
                await db.execute(TELL, job_id)
            await asyncio.sleep(dice.random() * 0.005)
            await (transaction.rollback() if dice.random() < 0.1 else transaction.commit())


async def follow(service: Service, seen: list[Message], seed: int, key: str) -> None:
    """Put the events that a client sees into `seen`, for ever: cut off at random, it goes on behind the last one."""
    dice = random.Random(seed)
    while True:
        async with connected(service, "/v1/events", seen[-1].id if seen else "0-0", key) as (status, reader):
            assert status == 200
            rest = dice.randint(1, 60)
            async for found in messages(reader):
                seen.append(found)
                rest -= 1
                if rest == 0:
                    break


def by_job(seen: list[Message]) -> dict[UUID, list[int]]:
    """The numbers seen of each job, in the order of sight."""
    found = defaultdict(list)
    for event in seen:
        found[UUID(event.data["job_id"])].append(event.data["seq"])
    return dict(found)


async def told(db: asyncpg.Connection, job_ids: list[UUID]) -> dict[UUID, list[int]]:
    """The numbers that each of these jobs has, in order."""
    rows = await db.fetch(
        "select job_id, array_agg(seq order by seq) as seqs from millrace.event where job_id = any($1) group by job_id",
        job_ids,
    )
    return {row["job_id"]: row["seqs"] for row in rows}


def position(event: Message) -> Position:
    """The id of an account's event."""
    assert event.id is not None
    tx, no = event.id.split("-")
    return Position(int(tx), int(no))


@pytest.mark.slow
async def test_every_event_of_many_writers_is_seen_once_and_in_order_through_cut_connections(
    start_service: StartService,
) -> None:
    api = await start_service("api", stream_poll_s=0.01)  # looks as often as if each writer woke it
    async with await api.account("other") as other:
        keys = [api.key, other.headers["authorization"].removeprefix("Bearer ")]
        job_ids = [await queued(api.client, JOBS), await queued(other, JOBS)]
    seen: list[list[Message]] = [[] for _ in range(FOLLOWERS)]
    async with asyncio.timeout(100):
        following = [asyncio.create_task(follow(api, seen[n], n, keys[n % 2])) for n in range(FOLLOWERS)]
        await asyncio.gather(*(write(api, job_ids[seed % 2], seed) for seed in range(WRITERS)))
        async with superuser(api) as db:
            all_told = [await told(db, ids) for ids in job_ids]
        counts = [sum(map(len, by_account.values())) for by_account in all_told]
        assert min(counts) > WRITERS * TURNS / 2
        await eventually(lambda: all(len(found) >= counts[n % 2] for n, found in enumerate(seen)))
        for task in following:
            task.cancel()
    for n, found in enumerate(seen):
        assert by_job(found) == all_told[n % 2]
        assert all(a < b for a, b in pairwise(map(position, found)))
        assert [event.id for event in found] == [event.id for event in seen[n % 2]]


async def test_a_fresh_connection_starts_with_the_live_jobs_and_goes_on_behind_them(service: Service) -> None:
    ended = await imported(service.client, FILE, "ended")
    waiting = [await post_import(service.client, FILE, f"w{n}", run_at="2999-01-01T00:00:00Z") for n in range(2)]
    async with connected(service, "/v1/events") as (status, reader):
        assert status == 200
        live = messages(reader)
        first = await anext(live)
        later = await post_import(service.client, FILE, "later")
        events = [await anext(live) for _ in range(later["last_event_id"] + 3)]
    assert first.event == "snapshot"
    assert [job["id"] for job in first.data["jobs"]] == [job["id"] for job in reversed(waiting)]
    assert ended["id"] not in first.text
    assert first.id == first.data["last_event_id"]
    assert 500 <= int(first.retry or 0) <= 2500
    assert [(e.data["job_id"], e.data["seq"], e.event) for e in events] == [
        (later["id"], n, kind)
        for n, kind in enumerate(("job.created", "job.started", "job.progressed", "job.completed"), start=1)
    ]
    assert events[-1].data["counts"]["inserted"] == 2
    async with connected(service, "/v1/events", first.id) as (_, reader):
        again = messages(reader)
        assert [await anext(again) for _ in events] == events
    for job in waiting:
        await service.client.post(f"{job['links']['self']}/cancel")


async def test_jobs_that_nobody_takes_are_told_of_at_once_too(start_service: StartService) -> None:
    service = await start_service("api", stream_poll_s=60)
    asked = {"processor": "echo"}
    async with connected(service, "/v1/events?type=job.created") as (_, reader):
        live = messages(reader)
        await anext(live)
        for body, jobs in ((asked, 1), (asked | {"run_at": "2099-01-01T00:00:00Z"}, 1), ([asked, asked], 2)):
            await service.client.post("/v1/jobs", json=body)
            async with asyncio.timeout(20):  # of the 60 s that it would take to look by itself
                assert [(await anext(live)).event for _ in range(jobs)] == ["job.created"] * jobs


async def test_only_the_types_asked_for_are_told(service: Service) -> None:
    job = await imported(service.client, FILE, "typed")
    async with connected(service, "/v1/events?type=job.started,job.completed", "0-0") as (_, reader):
        async for event in messages(reader):
            assert event.event in ("job.started", "job.completed")
            if event.data["job_id"] == job["id"] and event.event == "job.completed":
                break
    answer = await service.client.get("/v1/events", params={"type": "job.eaten"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_type")


@pytest.mark.parametrize("given", ["x", "1", "1-", "-1-2", "1-2-3", "99999999999-1", f"{10**18}-0", "9" * 25 + "-1"])
async def test_an_id_that_is_none_or_not_yet_is_refused(service: Service, given: str) -> None:
    requests: list[dict[str, Any]] = [{"headers": {"Last-Event-ID": given}}, {"params": {"after": given}}]
    for request in requests:
        answer = await service.client.get("/v1/events", **request)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_last_event_id")


async def test_an_account_sees_no_events_of_another(service: Service) -> None:
    job = await post_import(service.client, FILE, "mine")
    async with await service.account("stranger") as stranger:
        key = stranger.headers["authorization"].removeprefix("Bearer ")
        async with connected(service, "/v1/events", "0-0", key) as (_, reader):
            theirs = await post_import(stranger, FILE, "theirs")
            live = messages(reader)
            assert (await anext(live)).data["job_id"] == theirs["id"] != job["id"]
        async with connected(service, "/v1/events", None, key) as (_, reader):
            assert job["id"] not in (await anext(messages(reader))).text


async def test_an_event_waits_for_older_transactions_and_is_told_once_they_end(api: Service) -> None:
    early, late = await queued(api.client, 2)
    async with superuser(api) as older, superuser(api) as newer, connected(api, "/v1/events") as (_, reader):
        live = messages(reader)
        assert (await anext(live)).event == "snapshot"
        transaction = older.transaction()
        await transaction.start()
        await older.execute("select pg_current_xact_id()")
        await newer.execute(TELL, late)
        next_one = asyncio.ensure_future(anext(live))
        done, _ = await asyncio.wait([next_one], timeout=1.5)
        assert not done
        await older.execute(TELL, early)
        await older.execute(TELL, late)  # numbered behind the one that is held, by a transaction that is older
        await transaction.commit()
        found = [await next_one, await anext(live), await anext(live)]
    assert [(UUID(e.data["job_id"]), e.data["seq"]) for e in found] == [(early, 2), (late, 2), (late, 3)]


async def test_what_an_older_transaction_tells_of_a_new_job_stands_behind_its_first_event(api: Service) -> None:
    async with superuser(api) as older, older.transaction():
        await older.execute("select pg_current_xact_id()")
        (job_id,) = await queued(api.client, 1)  # by a transaction that is newer
        await older.execute(TELL, job_id)
        places = await older.fetch("select seq from millrace.event where job_id = $1 order by tx, no", job_id)
    assert [place["seq"] for place in places] == [1, 2]


async def test_a_dump_restored_on_a_server_with_lower_transaction_ids_goes_on_in_order(api: Service) -> None:
    (job_id,) = await queued(api.client, 1)
    async with superuser(api) as db:
        await db.execute("alter table millrace.event disable trigger user")
        await db.execute("update millrace.event set tx = tx + 1000000000")
        await db.execute("alter table millrace.event enable trigger user")
        await migrations.migrate(api.database_url)
        async with connected(api, "/v1/events", "0-0") as (_, reader):
            before = await anext(messages(reader))
        await db.execute(TELL, job_id)
        async with connected(api, "/v1/events", before.id) as (status, reader):
            assert status == 200
            event = await anext(messages(reader))
        await migrations.migrate(api.database_url)
        shift = await db.fetchval("select millrace.event_shift()")
        await migrations.migrate(api.database_url)
        assert shift == await db.fetchval("select millrace.event_shift()")
    assert (event.data["seq"], position(event) > position(before)) == (2, True)


async def test_events_of_earlier_releases_have_their_place_in_the_order_of_each_job(servers: Servers) -> None:
    async with servers.database("template1") as url:
        db = await asyncpg.connect(url)
        try:
            await migrations._prepare(db)
            *_, newest = [name for name in migrations.available() if name < "0005"]
            for name in migrations.available():
                if name < newest:
                    await migrations._apply(db, name)
            job_ids = [UUID(int=n) for n in range(3)]
            account_id = UUID(int=9)
            await db.execute("insert into account (id, name) values ($1, 'old')", account_id)
            for job_id in job_ids:
                await db.execute(
                    "insert into job (id, account_id, processor, queue, state, unit, phase, event_seq) "
                    "values ($1, $2, 'csv', 'cpu', 'queued', 'bytes', '', 4)",
                    job_id,
                    account_id,
                )
            for seq in (3, 1, 4, 2):  # not as they lie on disk, and the clock was once set back
                await db.execute(
                    "insert into event (job_id, account_id, seq, type, at, data) "
                    "select id, $2, $1::integer, 'job.created', now() - make_interval(secs => $1), '{}' from job",
                    seq,
                    account_id,
                )
            for name in migrations.available():
                if name >= newest:
                    await migrations._apply(db, name)
            await db.execute(TELL, job_ids[0])
            found, _ = await events.after_in_account(db, account_id, events.START, limit=100)
        finally:
            await db.close()
    numbers = {job_id: [event.seq for event in found if event.job_id == job_id] for job_id in job_ids}
    assert numbers == {job_ids[0]: [1, 2, 3, 4, 5], job_ids[1]: [1, 2, 3, 4], job_ids[2]: [1, 2, 3, 4]}
    assert found[-1].job_id == job_ids[0]


class Counted(Database):
    """Counts how often it is used."""

    count = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self.count += 1
        async with super().connection() as db:
            yield db


async def test_100_followers_of_an_account_read_each_event_once_from_the_database(api: Service) -> None:
    (job_id,) = await queued(api.client, 1)
    account_id = await account_id_of(api.database_url)
    async with (
        open_database(api.database_url, role=API_ROLE, connections=2, name="test") as opened,
        open_redis(api.settings["MILLRACE_REDIS_URL"]) as redis,
        superuser(api) as db,
    ):
        database, bus = Counted(opened._pool), Bus(redis)
        streams = Streams(database, bus, poll_s=60, ping_s=10)
        hearing = asyncio.create_task(streams.run())
        async with database.transaction(account_id) as reading:
            newest = await events.newest_in_account(reading, account_id)
        seen: list[list[int]] = [[] for _ in range(100)]

        async def watch(numbers: list[int]) -> None:
            after = newest
            async with streams.of_account(account_id, newest) as feed:
                while not numbers or numbers[-1] < 1001:
                    news = feed.news
                    batch = await feed.behind(after)
                    numbers += [event.seq for event in batch]
                    after = batch[-1].position if batch else after
                    if not batch:
                        await news.wait()

        began = time.monotonic()
        watching = [asyncio.create_task(watch(numbers)) for numbers in seen]
        await eventually(lambda: database.count == 2)  # its first look
        for _ in range(10):
            for _ in range(100):
                await db.execute(TELL, job_id)
            await asyncio.gather(*(redis.publish(CHANGES, f"somebody {job_id} {account_id}") for _ in range(500)))

        async def told_again() -> bool:  # the first wake-ups may have come before the subscription
            bus.notify((job_id, account_id))
            return all(task.done() for task in watching)

        await eventually(told_again)
        took_s = time.monotonic() - began
        hearing.cancel()
    assert seen == [list(range(2, 1002))] * 100
    assert database.count < took_s / GATHER_S + 10 < 1_000  # for 1,000 events, and 5,000 wake-ups


@pytest.mark.slow
async def test_a_service_that_stops_tells_every_stream_to_reconnect(api: Service) -> None:
    job = await post_import(api.client, FILE, "stopping")
    joined = asyncio.Semaphore(0)

    async def last_of(path: str) -> Message:
        async with connected(api, path) as (status, reader):
            assert status == 200
            live = messages(reader)
            await anext(live)
            joined.release()
            return [found async for found in live][-1]

    paths = ["/v1/events", job["links"]["events"]] * (CLIENTS // 2)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        clients = [group.create_task(last_of(path)) for path in paths]
        for _ in clients:
            await joined.acquire()
        assert await api.process.stop(10) == 0
    farewells = [client.result() for client in clients]
    assert {(farewell.event, farewell.id) for farewell in farewells} == {("reconnect", None)}
    pauses_ms = [int(farewell.retry or 0) for farewell in farewells]
    assert 500 <= min(pauses_ms) < max(pauses_ms) <= 2500
    assert len(set(pauses_ms)) > CLIENTS / 4
