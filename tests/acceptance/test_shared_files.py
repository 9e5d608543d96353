"""One large file read by several children and workers: as one worker would have done it, whatever happens to them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import psutil
import pytest

from tests import running
from tests.acceptance.test_worker_faults import Content, Fleet, committed_chunk, people, stored
from tests.conftest import StartService
from tests.running import Json, Running, Servers, Service, eventually, post_import, settled

ROWS = 400_000
BAD = 390
COUNTS = {"read": ROWS, "inserted": ROWS - BAD, "updated": 0, "skipped": 0, "rejected": BAD}
LEASE_S = 2.0
UNDISTURBED = 32 * 1024
"""Bytes of a chunk where nothing happens that the job would have to outlast."""
PATIENT = {"max_attempts": 10, "first_wait_s": 0.2}
"""A retry whose waits do not decide how long a test takes."""
SHARED = {"lease_s": LEASE_S, "chunk_bytes": 16 * 1024, "range_bytes": 256 * 1024, "job_children": 2}


@pytest.fixture(scope="module")
async def alone(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What one child of one worker stores."""
    folder = tmp_path_factory.mktemp("alone")
    async with running.service(servers, folder, "all", chunk_bytes=64 * 1024, job_children=1) as service:
        await settled(service.client, await post_import(service.client, people(ROWS), "people"), timeout_s=60)
        return await stored(service, "people")


async def readers(service: Service, job: Json) -> set[int]:
    """The process ids of the workers that hold ranges of the job right now."""
    db = await asyncpg.connect(service.database_url)
    try:
        rows = await db.fetch(
            "select distinct worker from millrace.job_range where job_id = $1 and expires_at > now()", job["id"]
        )
        return {int(row["worker"].rpartition(":")[2]) for row in rows}
    finally:
        await db.close()


async def helper_of(service: Service, fleet: Fleet, job: Json) -> tuple[Running, Running]:
    """The worker that runs the job and one that helps it, once there is one."""

    async def look() -> tuple[Running, Running] | None:
        leader, _ = await fleet.holder(job, 0)
        helping = [worker for worker in fleet.workers if worker.pid in await readers(service, job)]
        others = [worker for worker in helping if worker is not leader]
        return (leader, others[0]) if others else None

    return await eventually(look)


async def shared(
    start_service: StartService, workers: int, rows: int = ROWS, **settings: object
) -> tuple[Service, Fleet, Json]:
    """A service, its workers, and a job that more than one of them reads."""
    service = await start_service("api", **(SHARED | settings))
    fleet = Fleet(service)
    for _ in range(workers):
        await fleet.grow()
    upload = (await service.client.post("/v1/uploads", content=people(rows))).json()
    asked = {"processor": "csv", "dataset": "people", "upload_id": upload["id"], "retry": PATIENT}
    return service, fleet, (await service.client.post("/v1/jobs", json=asked)).json()


@asynccontextmanager
async def slowly(service: Service, job: Json) -> AsyncIterator[None]:
    """Each chunk takes the database 0.2 s longer, from the first on that is stored: the job outlasts its faults."""
    await committed_chunk(service, job)
    db = await asyncpg.connect(service.database_url)
    try:
        table = await db.fetchval(
            "select format('datasets.%I', table_name) from millrace.dataset where name = $1", job["dataset"]
        )
        await db.execute(f"""
            create function public.brake() returns trigger language plpgsql
                as 'begin perform pg_sleep(0.2); return null; end';
            create trigger brake after insert on {table} for each statement execute function public.brake()
        """)
        yield
        await db.execute(f"drop trigger brake on {table}")
    finally:
        await db.close()


async def same(service: Service, job: Json, alone: Content) -> None:
    """The job ends, and has stored what one worker alone stores."""
    ended = await settled(service.client, job, timeout_s=120)
    assert (ended["state"], ended["outcome"], ended["counts"]) == ("completed", "partial", COUNTS)
    assert await stored(service, "people") == alone
    assert await service.rows_in("job_range") == {"job_range": 0}


def child_of(worker: Running) -> psutil.Process | None:
    """One of the children that read for a worker; they come and go."""
    for forked in psutil.Process(worker.pid).children():
        with suppress(psutil.NoSuchProcess):
            return next(iter(forked.children()), None)
    return None


@pytest.mark.timeout(200)
async def test_two_children_of_one_worker_store_what_one_does(start_service: StartService, alone: Content) -> None:
    service, _, job = await shared(start_service, 1, chunk_bytes=UNDISTURBED)
    await same(service, job, alone)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("workers", [2, 3])
async def test_several_workers_store_what_one_does(start_service: StartService, alone: Content, workers: int) -> None:
    service, fleet, job = await shared(start_service, workers, job_children=1, chunk_bytes=UNDISTURBED)
    await helper_of(service, fleet, job)
    await same(service, job, alone)


@pytest.mark.timeout(240)
async def test_killed_workers_and_children_lose_and_double_nothing(start_service: StartService, alone: Content) -> None:
    service, fleet, job = await shared(start_service, 3)
    async with slowly(service, job):
        for number in range(6):
            leader, helper = await helper_of(service, fleet, job)
            await committed_chunk(service, job)
            victim = (leader, helper)[number % 2]
            if number in (2, 3):  # one that dies with a range; of the leader's, that costs an attempt
                child = await eventually(lambda of=victim: child_of(of))
                with suppress(psutil.NoSuchProcess):
                    child.kill()
                continue
            victim.kill()
            fleet.workers.remove(victim)
            await fleet.grow()
    await same(service, job, alone)


@pytest.mark.timeout(200)
async def test_a_helper_that_freezes_and_wakes_up_writes_nothing(start_service: StartService, alone: Content) -> None:
    service, fleet, job = await shared(start_service, 2, job_children=1)
    async with slowly(service, job):
        for _ in range(3):
            _, helper = await helper_of(service, fleet, job)
            await committed_chunk(service, job)
            os.kill(helper.pid, signal.SIGSTOP)
            await eventually(lambda pid=helper.pid: without(service, job, pid))
            await committed_chunk(service, job)
            os.kill(helper.pid, signal.SIGCONT)
    await same(service, job, alone)


async def without(service: Service, job: Json, pid: int) -> bool:
    return pid not in await readers(service, job)


@pytest.mark.timeout(200)
async def test_pause_stops_all_and_resume_goes_on(start_service: StartService, alone: Content) -> None:
    service, fleet, job = await shared(start_service, 3)
    async with slowly(service, job):
        for _ in range(2):
            await helper_of(service, fleet, job)
            await service.client.post(f"{job['links']['self']}/pause")
            await eventually(lambda: reached(service, job, "paused"))
            await eventually(lambda: nobody_reads(service, job))
            before = await service.client.get(job["links"]["self"])
            await asyncio.gather(*(worker.has_logged("worker.started") for worker in fleet.workers))
            assert (await service.client.get(job["links"]["self"])).json()["counts"] == before.json()["counts"]
            await service.client.post(f"{job['links']['self']}/resume")
    await same(service, job, alone)


async def reached(service: Service, job: Json, state: str) -> bool:
    return bool((await service.client.get(job["links"]["self"])).json()["state"] == state)


async def nobody_reads(service: Service, job: Json) -> bool:
    return not await readers(service, job)


@pytest.mark.timeout(200)
async def test_a_cancel_that_takes_rows_back_takes_all_of_them(start_service: StartService) -> None:
    service, fleet, job = await shared(start_service, 3)
    await helper_of(service, fleet, job)
    await service.client.post(f"{job['links']['self']}/cancel", params={"rows": "remove"})
    ended = await settled(service.client, job)
    assert (ended["state"], ended["counts"]["read"]) == ("cancelled", 0)
    await eventually(lambda: nobody_reads(service, job))
    assert (await stored(service, "people")).rows == 0


@pytest.mark.timeout(200)
async def test_who_pages_through_a_shared_job_misses_nothing(start_service: StartService) -> None:
    rows = 100_000
    service, _, job = await shared(start_service, 2, rows)
    numbers: list[int] = []
    cursor: str | None = None
    percents: list[float] = []

    async def page() -> list[int]:
        """The next rows; those of a full page are passed."""
        nonlocal cursor
        parameters = {"limit": 1000} | ({} if cursor is None else {"cursor": cursor})
        found = (await service.client.get("/v1/datasets/people/rows", params=parameters)).json()
        got = [row["_row"] for row in found["rows"]]
        if found["next_cursor"] is not None:
            numbers.extend(got)
            cursor = found["next_cursor"]
            return []
        return got

    async def look() -> bool:
        seen = (await service.client.get(job["links"]["self"])).json()
        percents.append(seen["progress"]["percent"] or 0)
        await page()
        return bool(seen["state"] == "completed")

    await eventually(look, timeout_s=120)
    assert percents == sorted(percents)
    while True:
        passed = len(numbers)
        last = await page()
        if len(numbers) == passed:
            break
    assert numbers + last == [n for n in range(1, rows + 1) if n <= 10_000 or n % 1000 != 7]
