"""Many jobs at once: two workers never run one twice, and one account's thousands never hold up another's first."""

from __future__ import annotations

import asyncpg
import pytest

from service.domain.ids import new_id
from tests.conftest import StartService
from tests.running import Service, eventually, post_import, settled

FILE = b'{"id": 1}\n{"id": 2}\n'
RACED = 1_000
WAITING = 10_000
SLOTS = 2

QUEUE_MORE = """
    insert into millrace.job (
      id, account_id, processor, queue, state, priority, upload_id, dataset_id, options, unit, total, phase, event_seq
    )
    select more.id, account_id, processor, queue, state, priority, upload_id, dataset_id, options, unit, total, phase, 1
    from millrace.job
    cross join unnest($2::uuid[]) as more (id)
    where job.id = $1
"""

TELL_MORE = """
    insert into millrace.event (job_id, account_id, seq, type, data)
    select id, account_id, 1, 'job.created', '{}'
    from millrace.job
    where not exists (select from millrace.event where job_id = job.id)
"""


async def queue_more(service: Service, job_id: str, count: int) -> None:
    """Queue that many jobs like a waiting one, over the same upload."""
    db = await asyncpg.connect(service.database_url)
    try:
        await db.execute(QUEUE_MORE, job_id, [new_id() for _ in range(count)])
        await db.execute(TELL_MORE)
        await db.execute("analyze millrace.job")
    finally:
        await db.close()


async def test_two_workers_racing_for_a_thousand_jobs_run_each_once(start_service: StartService) -> None:
    service = await start_service("api", io_slots=4)
    await service.worker()
    await service.worker()
    (await service.client.post("/v1/jobs", json=[{"processor": "echo"}] * RACED)).raise_for_status()
    db = await asyncpg.connect(service.database_url)
    try:

        async def all_ended() -> bool:
            return not await db.fetchval(
                "select count(*) from millrace.job where state not in ('completed', 'failed', 'cancelled')"
            )

        await eventually(all_ended, timeout_s=60, pause_s=0.2)
        ended = await db.fetch("select state, attempt, epoch, count(*) from millrace.job group by 1, 2, 3")
        assert [tuple(row) for row in ended] == [("completed", 1, 1, RACED)]
        told = await db.fetch(
            "select type, count(*) as all, count(distinct job_id) as jobs from millrace.event group by 1"
        )
        for kind in ("job.created", "job.started", "job.completed"):
            assert [(t["all"], t["jobs"]) for t in told if t["type"] == kind] == [(RACED, RACED)]
        assert await db.fetchval("select count(*) from millrace.attempt") == RACED
        assert await db.fetchval("select count(distinct worker) from millrace.attempt") == 2
        assert await service.rows_in("lease") == {"lease": 0}
    finally:
        await db.close()


@pytest.mark.slow
async def test_ten_thousand_waiting_jobs_of_one_account_do_not_hold_up_the_first_of_another(
    start_service: StartService,
) -> None:
    service = await start_service("api", worker_slots=SLOTS)
    job = await post_import(service.client, FILE, "many", processor="ndjson")
    await queue_more(service, job["id"], WAITING - 1)
    await service.worker()
    async with await service.account("small") as small:
        only = await post_import(small, FILE, "one", processor="ndjson")
        await settled(small, only)
    db = await asyncpg.connect(service.database_url)
    try:
        asked, started = await db.fetch("select at from millrace.event where job_id = $1 and seq <= 2", only["id"])
        between = await db.fetchval(
            "select count(*) from millrace.event where type = 'job.started' and at between $1 and $2 and job_id <> $3",
            asked["at"],
            started["at"],
            only["id"],
        )
        assert between <= SLOTS
        assert await db.fetchval("select count(*) from millrace.job where state = 'queued'") > WAITING / 2
    finally:
        await db.close()
