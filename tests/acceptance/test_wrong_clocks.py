"""A worker's clock may be an hour off: every time that decides anything comes from PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import asyncpg
import psutil
import pytest

from tests.acceptance.test_worker_faults import committed_chunk, people
from tests.conftest import StartService
from tests.running import Json, Running, Service, eventually, imported, numbers_of, post_import, settled

HOUR_S = 3600
FILE = b"id,name\n1,Ann\n2,Bob\n"
ROWS = 30_000
LONG = 150_000  # rows; outlasts two leases
LEASE_S = 2

pytestmark = pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S], ids=["fast", "slow"])


async def wrong_worker(service: Service, off_s: int) -> Running:
    worker = await service.worker("tests.acceptance.wrong_clock", clock_off_s=off_s)
    started = await worker.has_logged("worker.started")
    away = datetime.fromisoformat(started["timestamp"]) - datetime.now(UTC)
    assert abs(away.total_seconds() - off_s) < 60  # the clock is wrong indeed
    return worker


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def retries_of(service: Service, job: Json) -> list[asyncpg.Record]:
    """When it was told to retry, and what was told."""
    db = await asyncpg.connect(service.database_url)
    try:
        return await db.fetch(
            "select at, data from millrace.event where job_id = $1 and type = 'job.retrying'", job["id"]
        )
    finally:
        await db.close()


async def holder_of(service: Service, job: Json) -> int | None:
    """The process id of the worker that has the job."""
    db = await asyncpg.connect(service.database_url)
    try:
        worker = await db.fetchval("select worker from millrace.lease where job_id = $1", job["id"])
        return None if worker is None else int(worker.rpartition(":")[2])
    finally:
        await db.close()


async def has_been_held(service: Service, job: Json, seconds: float) -> bool:
    """Whether its attempt is that old; PostgreSQL's clock says."""
    db = await asyncpg.connect(service.database_url)
    try:
        return bool(
            await db.fetchval(
                "select started_at < now() - make_interval(secs => $2) from millrace.lease where job_id = $1",
                job["id"],
                seconds,
            )
        )
    finally:
        await db.close()


async def taken_over(service: Service, job: Json, successor: int) -> bool:
    """Whether that worker has the job now."""
    return await holder_of(service, job) == successor


async def test_jobs_start_at_their_time_and_not_before(start_service: StartService, off_s: int) -> None:
    service = await start_service("api", sweep_s=0.2)
    await wrong_worker(service, off_s)
    later = await post_import(service.client, FILE, "people", run_at=soon(HOUR_S / 2))
    job = await imported(service.client, FILE, "people", run_at=soon(1))
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    assert timedelta(seconds=0.8) <= started - created <= timedelta(seconds=15)
    assert (await service.client.get(later["links"]["self"])).json()["state"] == "pending"


async def test_the_back_off_is_as_long_as_ever(start_service: StartService, off_s: int) -> None:
    service = await start_service("api", sweep_s=0.2, chunk_bytes=4096)
    worker = await wrong_worker(service, off_s)
    job = await post_import(service.client, people(ROWS), "people")
    await committed_chunk(service, job)
    for child in psutil.Process(worker.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    ended = await settled(service.client, job)
    assert (ended["state"], ended["attempt"], ended["counts"]["read"]) == ("completed", 2, ROWS)
    told = [(event["at"], json.loads(event["data"])["run_at"]) for event in await retries_of(service, job)]
    waits = [datetime.fromisoformat(run_at) - at for at, run_at in told]
    assert len(waits) == 1
    assert timedelta(seconds=-1) < waits[0] < timedelta(seconds=3)


async def test_no_lease_is_taken_early_and_none_lasts_longer(start_service: StartService, off_s: int) -> None:
    service = await start_service("api", sweep_s=0.2, chunk_bytes=1536, lease_s=LEASE_S)
    holder = await wrong_worker(service, off_s)
    job = await post_import(service.client, people(LONG), "people")
    for epoch in (1, 2):
        await committed_chunk(service, job)
        successor = await (service.worker() if epoch == 1 else wrong_worker(service, off_s))
        await eventually(lambda: has_been_held(service, job, 1.5 * LEASE_S))
        shown = (await service.client.get(f"{job['links']['self']}/attempts")).json()["attempts"]
        assert len(shown) == epoch  # nobody took it early
        holder.kill()
        await eventually(lambda next_one=successor: taken_over(service, job, next_one.pid), timeout_s=15)
        holder = successor
    ended = await settled(service.client, job, timeout_s=60)
    assert (ended["state"], ended["counts"]["read"]) == ("completed", LONG)
    numbers = await numbers_of(service, "people")
    assert len(numbers) == len(set(numbers)) == ended["counts"]["inserted"]
