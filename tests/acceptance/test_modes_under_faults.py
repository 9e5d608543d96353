"""Workers die in the middle of an upsert, a replace and an undo: what comes of it is as if they had not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.acceptance.test_worker_faults import Fleet
from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, post_import, settled, superuser

STORED, BROUGHT = 40_000, 80_000
LEASE_S = 2.0
CHUNK_BYTES = 8192  # so that the import outlasts its faults
UPSERT = {"mode": "upsert", "keys": "id"}


async def people(first: int, last: int, score: int) -> AsyncIterator[bytes]:
    """A CSV of distinct ids, in no order; behind it each hundredth once more, with another score."""
    yield b"id,name,score\n"
    for start in range(first, last, 5_000):
        ids = list(range(start, start + 5_000))
        random.Random(start).shuffle(ids)
        yield "".join(f"{n},person {n},{score}\n" for n in ids).encode()
    yield "".join(f"{n},person {n},{score + 1}\n" for n in range(first, last, 100)).encode()


@dataclass(frozen=True)
class Content:
    """A dataset's rows made comparable: lineage by the job's place among those of the dataset."""

    rows: int
    digest: str


async def stored(service: Service, dataset: str) -> Content:
    async with superuser(service.database_url) as db:
        found = await db.fetchrow("select id, table_name from dataset where name = $1", dataset)
        rows, digest = await db.fetchrow(
            "with jobs as (select id as job, row_number() over (order by id) as nth from job where dataset_id = $1) "
            "select count(*), md5(string_agg(concat_ws('|', nth, _row, id, name, score), ',' order by id)) "
            f'from datasets."{found["table_name"]}" join jobs on job = _job',
            found["id"],
        )
        return Content(rows, digest)


async def under_kills(service: Service, fleet: Fleet, job: Json, kills: int) -> Json:
    """The job once it has ended, although each worker that holds it is killed at some moment."""
    dice = random.Random(20261123)
    epoch, done = 0, -1
    for _ in range(kills):

        async def has_moved(before: int = done) -> Json:
            shown: Json = (await service.client.get(job["links"]["self"])).json()
            return shown if shown["progress"]["done"] > before or shown["finished_at"] else {}

        shown = await eventually(has_moved, timeout_s=60)
        if shown["finished_at"]:
            break
        done = shown["progress"]["done"]
        worker, epoch = await fleet.holder(job, epoch)
        await asyncio.sleep(dice.uniform(0, 0.3))  # the random moment
        worker.kill()
        fleet.workers.remove(worker)
        await fleet.grow()
    ended = await settled(service.client, job, timeout_s=120)
    assert epoch >= 2, "it ended before its faults"
    return ended


async def fleet_of(start_service: StartService) -> tuple[Service, Fleet]:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=CHUNK_BYTES)
    fleet = Fleet(service)
    await fleet.grow()
    await fleet.grow()
    return service, fleet


@pytest.mark.timeout(400)
async def test_kills_in_an_upsert_and_in_its_undo_change_nothing_of_their_outcome(start_service: StartService) -> None:
    service, fleet = await fleet_of(start_service)
    calm, troubled = [], []
    for dataset, seen in (("calm", calm), ("troubled", troubled)):
        await imported(service.client, people(0, STORED, 1), dataset, **UPSERT)
        seen.append(await stored(service, dataset))
    jobs = []
    for dataset, seen in (("calm", calm), ("troubled", troubled)):
        job = await post_import(service.client, people(20_000, 20_000 + BROUGHT, 5), dataset, **UPSERT)
        jobs.append(
            await settled(service.client, job, timeout_s=120)
            if dataset == "calm"
            else await under_kills(service, fleet, job, 5)
        )
        seen.append(await stored(service, dataset))
    assert [job["state"] for job in jobs] == ["completed", "completed"]
    assert jobs[0]["counts"] == jobs[1]["counts"]
    assert jobs[1]["notes"] == jobs[0]["notes"] == BROUGHT // 100

    undo = (await service.client.post(jobs[1]["links"]["undo"])).json()
    undo = await under_kills(service, fleet, undo, 2)
    assert undo["output"]["removed"] + undo["output"]["restored"] == BROUGHT
    troubled.append(await stored(service, "troubled"))
    assert troubled == [calm[0], calm[1], calm[0]]


@pytest.mark.timeout(300)
async def test_kills_in_a_replace_show_the_old_rows_until_all_new_ones_are_there(start_service: StartService) -> None:
    service, fleet = await fleet_of(start_service)
    await imported(service.client, people(0, 5_000, 1), "replaced")
    before = await stored(service, "replaced")
    job = await post_import(service.client, people(0, BROUGHT, 2), "replaced", mode="replace")
    watched: set[Content] = set()

    async def watch() -> None:
        while True:
            watched.add(await stored(service, "replaced"))

    watching = asyncio.create_task(watch())
    job = await under_kills(service, fleet, job, 4)
    watching.cancel()
    await asyncio.wait([watching])
    after = await stored(service, "replaced")
    assert (job["state"], job["counts"]["inserted"]) == ("completed", BROUGHT + BROUGHT // 100)
    assert after.rows == BROUGHT + BROUGHT // 100
    assert watched - {after} == {before}
    undo = await settled(service.client, (await service.client.post(job["links"]["undo"])).json())
    assert undo["state"] == "completed"
    assert await stored(service, "replaced") == before
