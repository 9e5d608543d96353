"""A worker may die in the middle of a correction: every corrected row goes in once, and the counts stay true."""

from __future__ import annotations

import asyncpg
import pytest

from tests.conftest import StartService
from tests.running import eventually, imported, settled

ROWS = 8_000
BAD = ROWS // 2
LEASE_S = 2.0
KILLS = 3


@pytest.mark.timeout(300)
async def test_a_correction_whose_workers_are_killed_brings_each_row_in_once(start_service: StartService) -> None:
    service = await start_service("api", lease_s=LEASE_S, chunk_bytes=1_536)
    worker = await service.worker()
    await imported(service.client, b"id,name\n0,nobody\n", "mended")
    content = b"id,name\n" + b"".join(b"%s%d,n %d\n" % (b"x" * (n % 2), n, n) for n in range(1, ROWS + 1))
    job = await imported(service.client, content, "mended")
    assert job["counts"]["rejected"] == BAD
    table = (await service.client.get(f"/v1/jobs/{job['id']}/rejects?format=csv", timeout=60)).content
    corrected = table.replace(b"\r\nx", b"\r\n")
    answer = await service.client.post(f"/v1/jobs/{job['id']}/rejects", content=corrected)
    path = f"/v1/jobs/{answer.json()['id']}"

    async def inserted() -> int:
        found: int = (await service.client.get(path)).json()["counts"]["inserted"]
        return found

    for kill in range(1, KILLS + 1):
        await eventually(lambda at=kill * BAD // (KILLS + 2): is_beyond(inserted, at))
        worker.kill()
        worker = await service.worker()
    correction = await settled(service.client, answer.json(), timeout_s=120)
    assert correction["state"] == "completed"
    assert correction["counts"] == {"read": BAD, "inserted": BAD, "updated": 0, "skipped": 0, "rejected": 0}
    now = (await service.client.get(f"/v1/jobs/{job['id']}")).json()
    assert (now["counts"]["inserted"], now["counts"]["rejected"], now["outcome"]) == (ROWS, 0, "complete")
    db = await asyncpg.connect(service.database_url)
    try:
        name = await db.fetchval("select table_name from millrace.dataset where name = 'mended'")
        told = await db.fetchrow(
            f'select count(*), count(distinct _row), bool_and(id = _row) from datasets."{name}" where _job = $1',
            job["id"],
        )
        assert tuple(told) == (ROWS, ROWS, True)
        open_rejects = "select count(*) from millrace.reject where job_id = $1 and closed_by is null"
        assert await db.fetchval(open_rejects, job["id"]) == 0
        assert await db.fetchval("select max(epoch) from millrace.job where id = $1", correction["id"]) >= KILLS
    finally:
        await db.close()


async def is_beyond(count, at: int) -> bool:  # type: ignore[no-untyped-def]  # a test's own closure
    return await count() >= at
