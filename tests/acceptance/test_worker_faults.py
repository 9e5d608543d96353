"""A worker may die or freeze at any moment: every row arrives exactly once, and another worker takes over."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import psutil
import pytest

from tests import running
from tests.conftest import StartService
from tests.running import Json, Running, Servers, Service, eventually, post_import, settled

ROWS = 500_000
BAD = 490  # one in a thousand, behind the first 10,000
LEASE_S = 2.0
SMALL_CHUNKS = 1536  # so that the import outlasts its faults


async def people(rows: int, *, bad: bool = True) -> AsyncIterator[bytes]:
    """A CSV of `rows` distinct rows, one in a thousand of them bad if asked for."""
    yield b"id,name,score\n"
    for start in range(1, rows + 1, 5_000):
        lines = (
            f"{n},person {n},{'oops' if bad and n % 1000 == 7 and n > 10_000 else n % 97}\n"
            for n in range(start, start + 5_000)
        )
        yield "".join(lines).encode()


@dataclass
class Content:
    """What a job has stored, made comparable."""

    rows: int
    digest: str
    rejects: int


async def stored(service: Service, dataset: str) -> Content:
    """Count and hash a dataset's rows in row order, lineage number included."""
    db = await asyncpg.connect(service.database_url)
    try:
        table, job_id = await db.fetchrow(
            "select table_name, job.id from millrace.dataset join millrace.job on job.dataset_id = dataset.id "
            "where dataset.name = $1",
            dataset,
        )
        rows, digest = await db.fetchrow(
            f"select count(*), md5(string_agg(concat_ws('|', _row, id, name, score), ',' order by _row)) "
            f'from datasets."{table}"'
        )
        rejects = await db.fetchval("select count(*) from millrace.reject where job_id = $1", job_id)
        return Content(rows, digest, rejects)
    finally:
        await db.close()


@dataclass
class Fleet:
    """Workers beside a service; knows which of them holds the job."""

    service: Service
    module: str = "workers"
    workers: list[Running] = field(default_factory=list)

    async def grow(self) -> None:
        """Start one more worker."""
        self.workers.append(await self.service.worker(module=self.module))

    async def holder(self, job: Json, after_epoch: int) -> tuple[Running, int]:
        """The worker that runs the job under an epoch later than `after_epoch`, once there is one."""
        db = await asyncpg.connect(self.service.database_url)
        try:

            async def look() -> tuple[Running, int] | None:
                lease = await db.fetchrow("select worker, epoch from millrace.lease where job_id = $1", job["id"])
                if lease is None or lease["epoch"] <= after_epoch:
                    return None
                pid = int(lease["worker"].rpartition(":")[2])
                return next(((w, lease["epoch"]) for w in self.workers if w.pid == pid), None)

            return await eventually(look, timeout_s=15)
        finally:
            await db.close()


async def committed_chunk(service: Service, job: Json) -> None:
    """Wait until the job has one more chunk committed than it has now."""

    async def rows_read() -> int:
        return int((await service.client.get(job["links"]["self"])).json()["counts"]["read"])

    before = await rows_read()

    async def look() -> bool:
        return await rows_read() > before

    await eventually(look)


async def import_under_faults(service: Service, fleet: Fleet, dataset: str, faults: list[signal.Signals]) -> Json:
    """Import while each fault in turn hits the worker that holds the job, at a random moment. Returns the job."""
    dice = random.Random(20261122)
    job = await post_import(service.client, people(ROWS), dataset)
    epoch, frozen = 0, []
    for fault in faults:
        worker, epoch = await fleet.holder(job, epoch)
        if epoch % 3:  # two in a row may strike before the first chunk; a third would be the end of a poison job
            await committed_chunk(service, job)
        await asyncio.sleep(dice.uniform(0, 0.15))  # the random moment
        os.kill(worker.pid, fault)
        if fault is signal.SIGSTOP:
            frozen.append(worker)
        else:
            fleet.workers.remove(worker)
        await fleet.grow()
        if frozen and len(frozen) > 1:
            os.kill(frozen.pop(0).pid, signal.SIGCONT)
    for worker in frozen:
        await fleet.holder(job, epoch)
        os.kill(worker.pid, signal.SIGCONT)
    return await settled(service.client, job, timeout_s=90)


@pytest.fixture(scope="module")
async def undisturbed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What the import stores when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    async with running.service(servers, folder, "all", chunk_bytes=64 * 1024) as service:
        job = await settled(service.client, await post_import(service.client, people(ROWS), "people"), timeout_s=60)
        assert job["counts"]["read"] == ROWS
        return await stored(service, "people")


@pytest.mark.timeout(240)
async def test_twenty_kills_of_the_worker_lose_and_double_nothing(
    start_service: StartService, undisturbed: Content
) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=SMALL_CHUNKS)
    fleet = Fleet(service)
    await fleet.grow()
    await fleet.grow()
    job = await import_under_faults(service, fleet, "people", [signal.SIGKILL] * 20)
    assert (job["state"], job["outcome"]) == ("completed", "partial")
    assert job["counts"] == {"read": ROWS, "inserted": ROWS - BAD, "updated": 0, "skipped": 0, "rejected": BAD}
    assert await stored(service, "people") == undisturbed


FREEZES = [signal.SIGSTOP, signal.SIGKILL, signal.SIGSTOP, signal.SIGSTOP, signal.SIGSTOP]


@pytest.mark.timeout(240)
async def test_a_frozen_worker_that_wakes_up_writes_nothing(start_service: StartService, undisturbed: Content) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=SMALL_CHUNKS)
    fleet = Fleet(service)
    await fleet.grow()
    await fleet.grow()
    await import_under_faults(service, fleet, "people", FREEZES)
    assert await stored(service, "people") == undisturbed


async def doubled(service: Service, dataset: str) -> int:
    """How many rows are there more than once."""
    db = await asyncpg.connect(service.database_url)
    try:
        table = await db.fetchval("select table_name from millrace.dataset where name = $1", dataset)
        return int(await db.fetchval(f'select count(*) - count(distinct _row) from datasets."{table}"'))
    finally:
        await db.close()


@pytest.mark.timeout(240)
async def test_without_the_fence_a_frozen_worker_that_wakes_up_doubles_rows(start_service: StartService) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=SMALL_CHUNKS)
    frozen = await service.worker(module="tests.acceptance.no_fence")  # by itself, before its third chunk
    job = await post_import(service.client, people(ROWS, bad=False), "people")
    await eventually(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)
    fleet = Fleet(service, module="tests.acceptance.no_fence")
    await fleet.grow()
    await fleet.holder(job, after_epoch=1)
    await committed_chunk(service, job)
    os.kill(frozen.pid, signal.SIGCONT)
    assert await eventually(lambda: doubled(service, "people"))


async def test_another_worker_takes_over_within_fifteen_seconds_of_a_kill(start_service: StartService) -> None:
    service = await start_service("api", chunk_bytes=SMALL_CHUNKS)  # the lease is the default one
    fleet = Fleet(service)
    await fleet.grow()
    await fleet.grow()
    job = await post_import(service.client, people(ROWS), "people")
    worker, epoch = await fleet.holder(job, 0)
    await committed_chunk(service, job)
    killed_at = time.monotonic()
    worker.kill()
    await fleet.holder(job, epoch)
    assert time.monotonic() - killed_at < 15
