"""Connections between a worker and PostgreSQL break at the worst moments: what is stored is as if they never had."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests import running
from tests.acceptance.proxy import Fault, Proxy, before_the_reply_to_commit, in_copy
from tests.acceptance.test_worker_faults import Content, people, stored
from tests.conftest import StartService
from tests.running import Json, Servers, Service, eventually, post_import, settled

ROWS = 100_000
BAD = 90
CUTS = 20
RETRY = {"max_attempts": CUTS + 1, "longest_wait_s": 0.1}
"""A cut before the first chunk of an attempt costs one, and any may fall there."""

SMALL_CHUNKS = 4096
HANGS = 5
SLOTS = 4


@pytest.fixture(scope="module")
async def undisturbed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What the import stores when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    async with running.service(servers, folder, "all", chunk_bytes=64 * 1024) as service:
        await settled(service.client, await post_import(service.client, people(ROWS), "people"))
        return await stored(service, "people")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What ends with the test."""
    async with AsyncExitStack() as entered:
        yield entered


async def is_whole(service: Service, job: Json, dataset: str, undisturbed: Content) -> None:
    """The job completed, with every row and every reject once, and told its story without a gap."""
    ended = await settled(service.client, job, timeout_s=60)
    assert (ended["state"], ended["outcome"]) == ("completed", "partial"), ended
    assert ended["counts"] == {"read": ROWS, "inserted": ROWS - BAD, "updated": 0, "skipped": 0, "rejected": BAD}
    assert await stored(service, dataset) == undisturbed
    db = await asyncpg.connect(service.database_url)
    try:
        events = await db.fetch("select seq, type from millrace.event where job_id = $1 order by seq", job["id"])
        rejects = await db.fetchval("select count(distinct row) from millrace.reject where job_id = $1", job["id"])
    finally:
        await db.close()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("job.completed") == 1
    assert rejects == BAD


def moments(kind: str) -> list[Fault]:
    """Twenty different ones."""
    dice = random.Random(20261123)
    match kind:
        case "in mid-copy":
            return [in_copy(dice.randrange(30_000, 90_000)) for _ in range(CUTS)]
        case "at the commit of a chunk":
            return [before_the_reply_to_commit(dice.randrange(2, 12), of_chunks=True) for _ in range(CUTS)]
        case _:
            return [before_the_reply_to_commit(dice.randrange(4, 12), of_chunks=False) for _ in range(CUTS)]


@pytest.mark.parametrize("kind", ["in mid-copy", "at the commit of a chunk", "at any commit"])
async def test_connections_cut_twenty_times_lose_and_double_nothing(
    start_service: StartService, stack: AsyncExitStack, undisturbed: Content, kind: str
) -> None:
    service = await start_service("api", chunk_bytes=SMALL_CHUNKS, lease_s=2, sweep_s=0.2)
    proxy = await stack.enter_async_context(Proxy(service.database_url).serve())
    await service.worker(database_url=proxy.url)
    upload = (await service.client.post("/v1/uploads", content=people(ROWS))).json()
    asked = {"processor": "csv", "upload_id": upload["id"], "dataset": "people", "retry": RETRY}
    job = (await service.client.post("/v1/jobs", json=asked)).json()
    for moment in moments(kind):
        await proxy.strike(moment)
    await is_whole(service, job, "people", undisturbed)


@pytest.mark.timeout(240)
async def test_a_worker_whose_connections_hang_is_replaced_and_writes_nothing_afterwards(
    start_service: StartService, stack: AsyncExitStack, undisturbed: Content
) -> None:
    service = await start_service("api", chunk_bytes=SMALL_CHUNKS, lease_s=2, sweep_s=0.2, worker_slots=SLOTS)
    proxies = [await stack.enter_async_context(Proxy(service.database_url).serve()) for _ in range(2)]
    pids = [(await service.worker(database_url=proxy.url)).pid for proxy in proxies]
    jobs = [await post_import(service.client, people(ROWS), f"people_{n}") for n in range(SLOTS)]
    dice = random.Random(20261123)
    for _ in range(HANGS):
        await eventually(lambda: got_on(service))
        held = {pid: await holds(service, pid) for pid in pids}
        hung = max(pids, key=lambda pid: len(held[pid]))
        proxy = proxies[pids.index(hung)]
        await proxy.strike(in_copy(dice.randrange(2_000, 60_000)), hang=True)
        await eventually(lambda pid=hung: nothing_left(service, pid), timeout_s=20)
        proxy.thaw()
    for n, job in enumerate(jobs):
        await is_whole(service, job, f"people_{n}", undisturbed)


async def holds(service: Service, pid: int) -> list[str]:
    """The jobs that a worker has a lease on."""
    db = await asyncpg.connect(service.database_url)
    try:
        return [
            lease["job_id"]
            for lease in await db.fetch(
                "select job_id from millrace.lease where split_part(worker, ':', 2) = $1", str(pid)
            )
        ]
    finally:
        await db.close()


async def got_on(service: Service) -> bool:
    """Whether every job has committed a chunk since it last lost a worker."""
    db = await asyncpg.connect(service.database_url)
    try:
        return bool(await db.fetchval("select bool_and(deaths = 0 and read > 0) from millrace.job"))
    finally:
        await db.close()


async def nothing_left(service: Service, pid: int) -> bool:
    """Whether every job of a worker has been taken from it."""
    return not await holds(service, pid)
