"""Workers and PostgreSQL are restarted again and again under load: no job fails, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from service import embedded
from tests import running
from tests.acceptance.test_worker_faults import people
from tests.conftest import StartService
from tests.running import Servers, Service, eventually, numbers_of, post_import, settled

ROWS = 100_000


async def complete(service: Service, job: running.Json, dataset: str, rows: int) -> None:
    """The job ended complete, with every row once."""
    ended = await settled(service.client, job, timeout_s=90)
    assert (ended["state"], ended["counts"]["read"]) == ("completed", rows), ended
    numbers = await numbers_of(service, dataset)
    assert len(numbers) == len(set(numbers)) == ended["counts"]["inserted"]


@pytest.mark.timeout(240)
async def test_twenty_rolling_restarts_of_two_workers_fail_no_job(start_service: StartService) -> None:
    service = await start_service("api", chunk_bytes=16 * 1024)
    workers = [await service.worker(), await service.worker()]
    jobs = []
    for turn in range(20):
        jobs.append(await post_import(service.client, people(ROWS), f"people_{turn}"))
        oldest = workers.pop(0)
        assert await oldest.stop(10) == 0
        workers.append(await service.worker())
    for turn, job in enumerate(jobs):
        await complete(service, job, f"people_{turn}", ROWS)
        assert (await service.client.get(job["links"]["self"])).json()["attempt"] == 1  # a deploy costs no try


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Path]]:
    """A supervised PostgreSQL of the test's own, to do harm to: its URL and data directory."""
    folder = tmp_path_factory.mktemp("postgres")
    async with embedded.start(folder, redis=False) as started:
        yield started.database_url, folder


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "killed"])
async def test_postgresql_restarted_every_few_seconds_fails_no_import(
    servers: Servers,
    own_postgres: tuple[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    fault: signal.Signals,
) -> None:
    url, folder = own_postgres
    settings = {"database_url": url, "chunk_bytes": 8 * 1024}
    async with running.service(servers, tmp_path_factory.mktemp("service"), "all", **settings) as service:
        job = await post_import(service.client, people(ROWS), "people")
        for _ in range(4):
            await asyncio.sleep(1.5)  # let it work: the faults are what is timed here
            pid = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, fault)
            await eventually(lambda: answers(url))
        await complete(service, job, "people", ROWS)


async def answers(url: str) -> bool:
    """Whether PostgreSQL takes a connection."""
    try:
        db = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await db.close()
    return True
