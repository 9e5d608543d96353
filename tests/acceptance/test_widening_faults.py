"""A worker may die while its job starts over with wider types: the rows are all there in the end, once, in those."""

from __future__ import annotations

import pytest

from tests.acceptance.test_worker_faults import Fleet
from tests.conftest import StartService
from tests.running import Json, Service, eventually, is_blocked, post_import, rows_of, settled, superuser

ROWS = 12_000
LEASE_S = 2.0


def table() -> bytes:
    """Whole numbers, of which the 6,000th is a large one and the 9,000th has decimals; one in a hundred is none."""
    late = {6_000: "5000000000", 9_000: "0.25"}
    lines = (f"{n},{late.get(n) or ('oops' if n % 100 == 7 else n % 1000)}\n" for n in range(1, ROWS + 1))
    return ("id,value\n" + "".join(lines)).encode()


async def check(service: Service, job: Json) -> None:
    """Every row once, the wrong ones refused once, the type wide enough for all."""
    assert job["state"] == "completed", job
    bad = [n for n in range(1, ROWS + 1) if n % 100 == 7]
    assert job["counts"] == {
        "read": ROWS,
        "inserted": ROWS - len(bad),
        "updated": 0,
        "skipped": 0,
        "rejected": len(bad),
    }
    shown = (await service.client.get("/v1/datasets/numbers")).json()
    assert [(c["name"], c["type"]) for c in shown["columns"]] == [("id", "integer"), ("value", "numeric")]
    found = await rows_of(service.client, "numbers")
    assert sorted(row["_row"] for row in found) == [n for n in range(1, ROWS + 1) if n % 100 != 7]
    async with superuser(service.database_url) as db:
        refused = await db.fetch("select row from reject where job_id = $1 order by row", job["id"])
        assert [row["row"] for row in refused] == bad


@pytest.mark.timeout(180)
async def test_a_kill_in_the_middle_of_starting_over_leaves_it_to_the_next_worker(start_service: StartService) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=4096)
    fleet = Fleet(service)
    await fleet.grow()
    async with superuser(service.database_url) as holding, superuser(service.database_url) as looking:
        async with holding.transaction():
            await holding.execute("lock table kept_table in share mode")  # where the former table is put aside
            job = await post_import(service.client, table(), "numbers")

            async def is_waiting() -> bool:
                return await is_blocked(looking, "insert into kept_table")

            await eventually(is_waiting, timeout_s=60)
            worker, _ = await fleet.holder(job, 0)
            worker.kill()
            fleet.workers.remove(worker)
            await worker.ended()
        assert await looking.fetchval("select widened from job where id = $1", job["id"]) == "[]"
    await fleet.grow()
    await check(service, await settled(service.client, job, timeout_s=90))


@pytest.mark.timeout(240)
async def test_kills_right_after_each_start_lose_and_double_nothing(start_service: StartService) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=4096)
    fleet = Fleet(service)
    for _ in range(3):
        await fleet.grow()
    job, epoch = await post_import(service.client, table(), "numbers"), 0
    async with superuser(service.database_url) as db:
        for times in (1, 2):

            async def has_widened(times: int = times) -> bool:
                count = await db.fetchval("select jsonb_array_length(widened) from job where id = $1", job["id"])
                return int(count) >= times

            await eventually(has_widened, timeout_s=60)
            worker, epoch = await fleet.holder(job, epoch)
            worker.kill()
            fleet.workers.remove(worker)
    await check(service, await settled(service.client, job, timeout_s=90))
