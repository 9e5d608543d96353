"""Maintenance duties: each does its work once, however many do it at a time, and loses nothing when it is cut short."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from service.bus import Bus
from service.dispatch import Dispatch, open_redis
from service.domain.chunk import Column, ColumnType
from service.files.opening import StoredFiles
from service.files.stores import MARK
from service.store import datasets, uploads
from service.store.database import WORKER_ROLE, Database, open_database
from service.store.locks import duty_lock
from tests import running
from tests.conftest import StartService
from tests.running import Json, Servers, Service, account_id_of, eventually, post_import
from tests.sealed import files_of
from workers.maintenance import expire_uploads, index_rows, mark_lost, ring_again, sweep_files

FILE = b"id,name\n1,Ann\n2,Bob\n"
COMPLETED_S, FAILED_S = 3600, 86400
OLD = "update upload set created_at = created_at - interval '30 days' where id = $1"
END = """
update job
set state = $2, outcome = 'none', problem = '{}', started_at = now(), finished_at = now() - make_interval(secs => $3)
where id = $1
"""


@dataclass(frozen=True)
class Upkeep:
    """A service without a worker, and what a worker's duties work with."""

    service: Service
    database: Database
    files: StoredFiles

    async def execute(self, statement: str, *values: object) -> None:
        async with self.database.connection() as db:
            await db.execute(statement, *values)

    async def ended(self, state: str, ago_s: float, upload_id: str | None = None) -> Json:
        """A job of an old upload that ended so long ago."""
        job = await (self.over(upload_id) if upload_id else post_import(self.service.client, FILE, "people"))
        await self.execute("update job set state = 'running' where id = $1", UUID(job["id"]))
        await self.execute(END, UUID(job["id"]), state, float(ago_s))
        await self.execute(OLD, UUID(job["upload_id"]))
        return job

    async def over(self, upload_id: str) -> Json:
        """A new job over an upload."""
        answer = await self.queue(upload_id)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def queue(self, upload_id: str, **headers: str) -> httpx.Response:
        body = {"processor": "csv", "upload_id": upload_id, "dataset": "people"}
        return await self.service.client.post("/v1/jobs", json=body, headers=headers)

    async def unused(self, age_s: float) -> str:
        """An upload of that age that no job has used."""
        upload_id = (await self.service.client.post("/v1/uploads", content=FILE)).json()["id"]
        statement = "update upload set created_at = now() - make_interval(secs => $2) where id = $1"
        await self.execute(statement, UUID(upload_id), float(age_s))
        return str(upload_id)

    async def shown(self, upload_id: str) -> Json:
        return dict((await self.service.client.get(f"/v1/uploads/{upload_id}")).json())

    async def expire(self) -> int:
        return await expire_uploads.run_once(
            self.database, self.files, keep_completed_s=COMPLETED_S, keep_failed_s=FAILED_S
        )

    async def sweep(self) -> int:
        return await sweep_files.run_once(self.database, self.files)

    async def mark_lost(self) -> int:
        return await mark_lost.run_once(self.database, self.files, grace_s=0)

    def file(self, upload_id: str) -> Path:
        return self.service.folder / "files" / upload_id

    def orphan(self) -> Path:
        """A file of no upload, untouched for long."""
        path = self.file(str(uuid4()))
        path.write_bytes(FILE)
        return untouched(path)


def untouched(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


@asynccontextmanager
async def upkeep_of(service: Service) -> AsyncIterator[Upkeep]:
    async with open_database(service.database_url, role=WORKER_ROLE, connections=6, name="test") as database:
        with files_of(service.folder) as files:
            yield Upkeep(service, database, files)


@pytest.fixture(scope="module")
async def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service without a worker."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), "api") as started:
        yield started


@pytest.fixture
async def upkeep(api: Service) -> AsyncIterator[Upkeep]:
    """The same with nothing in it."""
    async with upkeep_of(api) as found:
        await found.execute("truncate upload, dataset, job, storage, job_stat, job_end cascade")
        for path in (api.folder / "files").iterdir():
            path.unlink()
        yield found


async def both(duty: Callable[[], Awaitable[int]]) -> int:
    """What two workers count that do a duty at the same time."""
    return sum(await asyncio.gather(duty(), duty()))


async def test_of_two_that_ask_one_gets_the_lock_of_a_duty_and_the_other_does_not_wait(upkeep: Upkeep) -> None:
    async with duty_lock(upkeep.database, "a") as one, duty_lock(upkeep.database, "a") as two:
        assert (one is not None, two) == (True, None)
        async with duty_lock(upkeep.database, "b") as other:
            assert other is not None
    async with duty_lock(upkeep.database, "a") as again:
        assert again is not None


@pytest.mark.parametrize(
    ("states", "ago_s", "is_due"),
    [
        (["completed"], COMPLETED_S - 60, False),
        (["completed"], COMPLETED_S + 60, True),
        (["failed"], COMPLETED_S + 60, False),
        (["failed"], FAILED_S + 60, True),
        (["cancelled"], FAILED_S - 60, False),
        (["cancelled"], FAILED_S + 60, True),
        (["completed", "failed"], COMPLETED_S + 60, False),
        (["completed", "failed"], FAILED_S + 60, True),
    ],
)
async def test_an_upload_expires_so_long_after_its_jobs(
    upkeep: Upkeep, states: list[str], ago_s: int, is_due: bool
) -> None:
    first, *others = states
    upload_id = (await upkeep.ended(first, ago_s))["upload_id"]
    for state in others:
        await upkeep.ended(state, ago_s, upload_id)
    assert await upkeep.expire() == is_due
    shown = await upkeep.shown(upload_id)
    assert (shown["expired_at"] is not None, shown["expired_reason"]) == (is_due, "retention" if is_due else None)
    assert upkeep.file(upload_id).exists() is not is_due


async def test_an_upload_that_a_dataset_shows_never_expires(upkeep: Upkeep) -> None:
    upload_id = (await upkeep.ended("completed", 2 * FAILED_S))["upload_id"]
    async with upkeep.database.transaction() as db:
        account_id = await db.fetchval("select account_id from upload where id = $1", UUID(upload_id))
        dataset_id = await datasets.ensure(db, account_id, "shows")
        await db.execute(
            "insert into attachment (dataset_id, name, job_id, account_id, upload_id) values ($1, 'a.png', $2, $3, $4)",
            *(dataset_id, UUID(int=1), account_id, UUID(upload_id)),
        )
    assert await upkeep.expire() == 0
    async with upkeep.database.transaction() as db:
        await datasets.remove(db, dataset_id)
    assert await upkeep.expire() == 1


async def test_the_last_end_counts(upkeep: Upkeep) -> None:
    upload_id = (await upkeep.ended("completed", 2 * COMPLETED_S))["upload_id"]
    await upkeep.ended("completed", COMPLETED_S - 60, upload_id)
    assert await upkeep.expire() == 0


@pytest.mark.parametrize("state", ["pending", "queued", "running", "retrying", "paused"])
async def test_an_upload_with_a_job_that_has_not_ended_never_expires(upkeep: Upkeep, state: str) -> None:
    upload_id = (await upkeep.ended("completed", 2 * FAILED_S))["upload_id"]
    job = await upkeep.over(upload_id)
    async with upkeep.database.transaction() as db:
        await db.execute("alter table job disable trigger job_transition")
        await db.execute("update job set state = $2 where id = $1", UUID(job["id"]), state)
        await db.execute("alter table job enable trigger job_transition")
    assert await upkeep.expire() == 0
    assert upkeep.file(upload_id).exists()


@pytest.mark.parametrize(("age_s", "is_due"), [(FAILED_S - 60, False), (FAILED_S + 60, True)])
async def test_an_upload_that_no_job_used_expires_by_its_age(upkeep: Upkeep, age_s: int, is_due: bool) -> None:
    upload_id = await upkeep.unused(age_s)
    assert await upkeep.expire() == is_due
    assert upkeep.file(upload_id).exists() is not is_due


async def test_two_that_expire_at_once_count_each_upload_once(upkeep: Upkeep) -> None:
    for _ in range(5):
        await upkeep.unused(2 * FAILED_S)
    assert await both(upkeep.expire) == 5
    assert upkeep.service.files == []
    assert await upkeep.expire() == 0


async def test_a_new_job_over_an_expired_upload_is_refused(upkeep: Upkeep) -> None:
    upload_id = await upkeep.unused(2 * FAILED_S)
    await upkeep.expire()
    answer = await upkeep.queue(upload_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_expired")
    assert "again" in answer.json()["suggestion"]
    assert await upkeep.service.rows_in("job", "dataset") == {"job": 0, "dataset": 0}


@pytest.mark.parametrize("start", ["checkpoint", "start"])
async def test_a_retry_over_an_expired_upload_is_refused(upkeep: Upkeep, start: str) -> None:
    job = await upkeep.ended("failed", 2 * FAILED_S)
    await upkeep.expire()
    client = upkeep.service.client
    answer = await client.post(f"{job['links']['self']}/retry?from={start}")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_expired")
    batch = await client.post("/v1/jobs/batch", json={"action": "retry", "ids": [job["id"]]})
    assert [result["code"] for result in batch.json()["results"]] == ["upload_expired"]
    assert (await client.get(job["links"]["self"])).json()["state"] == "failed"


async def test_a_repeated_request_is_answered_with_its_first_job_after_the_upload_expired(upkeep: Upkeep) -> None:
    upload_id = await upkeep.unused(2 * FAILED_S)
    first = (await upkeep.queue(upload_id, **{"Idempotency-Key": "k"})).json()
    await upkeep.execute("update job set state = 'running'")
    await upkeep.execute(END, UUID(first["id"]), "completed", 2.0 * FAILED_S)
    assert await upkeep.expire() == 1
    again = await upkeep.queue(upload_id, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert (await upkeep.queue(upload_id, **{"Idempotency-Key": "other"})).status_code == 409


async def test_a_job_that_is_just_being_queued_keeps_the_file(upkeep: Upkeep) -> None:
    job = await upkeep.ended("failed", 2 * FAILED_S)
    async with upkeep.database.transaction() as db:
        await db.execute(
            "update job set state = 'queued', finished_at = null, outcome = null where id = $1", UUID(job["id"])
        )
        assert await upkeep.expire() == 0  # it does not wait for us either
    assert await upkeep.expire() == 0
    assert upkeep.file(job["upload_id"]).exists()


async def test_a_job_waits_for_an_expiry_under_way_and_is_then_refused(upkeep: Upkeep) -> None:
    upload_id = await upkeep.unused(2 * FAILED_S)
    async with upkeep.database.transaction() as db:
        expired = await uploads.expire_stale(db, keep_completed_s=COMPLETED_S, keep_failed_s=FAILED_S, limit=10)
        assert expired == [UUID(upload_id)]
        asked = asyncio.create_task(upkeep.queue(upload_id))
        await eventually(lambda: is_blocked(upkeep.database))
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_expired")


async def is_blocked(database: Database) -> bool:
    """Whether somebody waits for a row in this database."""
    async with database.connection() as db:
        waiting = "select count(*) from pg_locks join pg_stat_activity using (pid) where not granted and datname = $1"
        return await db.fetchval(waiting, await db.fetchval("select current_database()")) > 0


async def test_of_a_job_and_an_expiry_at_the_same_moment_exactly_one_wins(upkeep: Upkeep) -> None:
    ids = [await upkeep.unused(2 * FAILED_S) for _ in range(40)]
    answers, *_ = await asyncio.gather(asyncio.gather(*map(upkeep.queue, ids)), *(upkeep.expire() for _ in range(4)))
    await upkeep.expire()
    for upload_id, answer in zip(ids, answers, strict=True):
        is_queued = answer.status_code == 202
        assert is_queued or answer.json()["code"] == "upload_expired"
        assert upkeep.file(upload_id).exists() is is_queued
        assert ((await upkeep.shown(upload_id))["expired_at"] is None) is is_queued


async def test_no_upload_expires_under_a_job_that_was_queued_during_the_look(upkeep: Upkeep) -> None:
    account_id = await account_id_of(upkeep.service.database_url)
    add = """
    insert into upload (id, account_id, name, size_bytes, sha256, created_at)
    select gen_random_uuid(), $1, 'old', 1, '', '-infinity' from generate_series(1, 3000)
    """
    queue = """
    insert into job (id, account_id, processor, queue, state, upload_id, unit, phase)
    values (gen_random_uuid(), $1, 'csv', 'cpu', 'queued', $2, 'bytes', '')
    """
    await upkeep.execute(add, account_id)
    async with upkeep.database.connection() as db:
        backwards = [row["id"] for row in await db.fetch("select id from upload order by id desc")]

    async def queue_some(of: list[UUID]) -> int:
        for queued, upload_id in enumerate(of):
            try:
                await upkeep.execute(queue, account_id, upload_id)
            except asyncpg.PostgresError as error:
                assert error.sqlstate == "MR001"
                return queued
        return len(of)

    queueing = [asyncio.create_task(queue_some(backwards[n::3])) for n in range(3)]
    await eventually(lambda: has_jobs(upkeep.database, 100))
    async with upkeep.database.transaction() as db:
        expired = await uploads.expire_stale(db, keep_completed_s=0, keep_failed_s=0, limit=3000)
    assert sum(await asyncio.gather(*queueing)) + len(expired) == 3000
    async with upkeep.database.connection() as db:
        both = "select count(*) from job join upload on upload.id = job.upload_id where expired_at is not null"
        assert await db.fetchval(both) == 0


async def has_jobs(database: Database, count: int) -> bool:
    async with database.connection() as db:
        return await db.fetchval("select count(*) from job") >= count


async def test_a_crash_between_mark_and_deletion_leaves_a_file_to_the_sweep(upkeep: Upkeep) -> None:
    upload_id = await upkeep.unused(2 * FAILED_S)
    async with upkeep.database.transaction() as db:
        await uploads.expire_stale(db, keep_completed_s=COMPLETED_S, keep_failed_s=FAILED_S, limit=10)
    assert untouched(upkeep.file(upload_id)).exists()
    assert (await upkeep.shown(upload_id))["expired_at"]
    assert await both(upkeep.sweep) == 1
    assert not upkeep.file(upload_id).exists()
    assert (await upkeep.shown(upload_id))["expired_reason"] == "retention"


async def test_orphans_are_deleted_and_what_is_owned_or_young_stays(upkeep: Upkeep) -> None:
    owned, orphan, part = await upkeep.unused(0), upkeep.orphan(), upkeep.orphan()
    part.rename(part.with_suffix(".part"))
    untouched(upkeep.file(owned))
    young = upkeep.file(str(uuid4()))
    young.write_bytes(FILE)
    assert await both(upkeep.sweep) == 2
    assert not orphan.exists()
    assert upkeep.service.files == sorted([owned, young.name])
    assert await upkeep.sweep() == 0


async def test_an_upload_whose_file_is_gone_is_marked_and_logged_once(upkeep: Upkeep) -> None:
    lost, kept = await upkeep.unused(0), await upkeep.unused(0)
    upkeep.file(lost).unlink()
    with capture_logs() as logged:
        assert await upkeep.mark_lost() == 1
        assert await both(upkeep.mark_lost) == 0
    told = [(line["log_level"], line["upload_id"]) for line in logged if line["event"] == "upload.lost"]
    assert told == [("error", lost)]
    assert (await upkeep.shown(lost))["expired_reason"] == "lost"
    assert (await upkeep.shown(kept))["expired_at"] is None
    assert (await upkeep.queue(lost)).json()["code"] == "upload_expired"


async def test_two_that_look_at_once_mark_each_lost_upload_once(upkeep: Upkeep) -> None:
    await upkeep.unused(0)
    await upkeep.mark_lost()
    for upload_id in [await upkeep.unused(0) for _ in range(3)]:
        upkeep.file(upload_id).unlink()
    marked = 0
    while found := await both(upkeep.mark_lost):
        marked += found
    assert marked == 3


async def test_a_lost_file_that_comes_back_is_not_an_orphan(upkeep: Upkeep) -> None:
    lost, _kept = await upkeep.unused(0), await upkeep.unused(0)
    away = upkeep.file(lost).rename(upkeep.service.folder / "away")
    assert await upkeep.mark_lost() == 1
    untouched(away.rename(upkeep.file(lost)))
    assert await upkeep.sweep() == 0
    assert upkeep.file(lost).exists()
    assert (await upkeep.shown(lost))["expired_at"] is None
    assert (await upkeep.queue(lost)).status_code == 202


@pytest.mark.parametrize("is_known", [True, False], ids=["marked before", "never seen"])
async def test_a_disk_that_is_not_mounted_has_lost_nothing(upkeep: Upkeep, is_known: bool) -> None:
    upload_id = await upkeep.unused(0)
    if is_known:
        assert await upkeep.sweep() == await upkeep.mark_lost() == 0
    mount = upkeep.service.folder / "files"
    away = mount.rename(upkeep.service.folder / "away")
    mount.mkdir()
    with capture_logs() as logged:
        assert await upkeep.mark_lost() == 0
        assert await upkeep.sweep() == 0
    assert {line["event"] for line in logged} == {"files.not_ours"}
    assert list(mount.iterdir()) == []
    assert (await upkeep.shown(upload_id))["expired_at"] is None
    mount.rmdir()
    away.rename(mount)
    assert await upkeep.mark_lost() == 0
    upkeep.file(upload_id).unlink()
    assert await upkeep.mark_lost() == is_known  # the only file gone from a folder never seen: nothing to know it by


async def test_the_folder_of_another_installation_is_left_alone(upkeep: Upkeep, start_service: StartService) -> None:
    theirs = await upkeep.unused(0)
    untouched(upkeep.file(theirs))
    assert await upkeep.sweep() == 0
    async with upkeep_of(await start_service("api")) as other:
        with files_of(upkeep.service.folder) as astray:
            assert await sweep_files.run_once(other.database, astray) == 0
        shutil.copy(upkeep.service.folder / "files" / MARK, other.service.folder / "files" / MARK)
        other.orphan()
        assert await other.sweep() == 0
    assert upkeep.file(theirs).exists()


async def test_a_mark_that_was_not_written_for_a_crash_is_written_later(upkeep: Upkeep) -> None:
    await upkeep.execute("insert into storage (id) values ($1)", uuid4())
    upkeep.orphan()
    assert await upkeep.sweep() == 1
    assert (upkeep.service.folder / "files" / MARK).exists()


async def test_a_queue_that_lost_its_tickets_is_rung_once(upkeep: Upkeep) -> None:
    async with open_redis(upkeep.service.settings["MILLRACE_REDIS_URL"]) as redis:
        dispatch = Dispatch(redis, Bus(redis))

        async def ring() -> int:
            return await ring_again.run_once(upkeep.database, dispatch)

        assert await ring() == 0  # nothing waits
        job = await post_import(upkeep.service.client, FILE, "people")
        await eventually(lambda: dispatch.has_ticket("cpu"))  # put there behind the answer
        for _ in range(2):
            await queued_behind_redis(upkeep, job["upload_id"])
        assert await ring() == 0
        await redis.flushdb()
        assert not await dispatch.has_ticket("cpu")
        assert await both(ring) == 1
        assert await dispatch.has_ticket("cpu")
        assert await ring() == 0


async def test_a_worker_that_hardly_sweeps_gets_the_job_whose_ticket_was_lost(start_service: StartService) -> None:
    service = await start_service("api")
    async with open_redis(service.settings["MILLRACE_REDIS_URL"]) as redis:
        job = await post_import(service.client, FILE, "people")
        await redis.flushdb()
        await service.worker(sweep_s=1000)  # its first sweep finds this one
        await eventually(lambda: has_ended(service, job))
        async with upkeep_of(service) as upkeep:
            again = await queued_behind_redis(upkeep, job["upload_id"])
            await eventually(lambda: has_ended(service, again))


async def queued_behind_redis(upkeep: Upkeep, upload_id: str) -> Json:
    """A job that no ticket and no wake-up tells of."""
    job_id = uuid4()
    account_id = await account_id_of(upkeep.service.database_url)
    await upkeep.execute(
        """
        insert into job (id, account_id, processor, queue, state, upload_id, dataset_id, unit, phase)
        select $1, account_id, processor, queue, 'queued', upload_id, dataset_id, unit, 'waiting'
        from job
        where upload_id = $2 and account_id = $3
        limit 1
        """,
        job_id,
        UUID(upload_id),
        account_id,
    )
    return dict((await upkeep.service.client.get(f"/v1/jobs/{job_id}")).json())


async def has_ended(service: Service, job: Json) -> bool:
    state = (await service.client.get(job["links"]["self"])).json()["state"]
    assert state not in ("failed", "cancelled")
    return bool(state == "completed")


async def test_a_table_gets_its_row_index_once_nobody_writes_into_it_or_it_is_large(
    upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("written", "large"):
        await post_import(upkeep.service.client, FILE, name)
        async with upkeep.database.transaction() as db:
            dataset = await datasets.lock(db, await db.fetchval("select id from dataset where name = $1", name))
            await datasets.create_table(db, dataset, [Column("id", ColumnType.INTEGER)])
            await db.execute("update job set is_writing = true where dataset_id = $1", dataset.id)
            if name == "large":
                await db.execute(f'insert into datasets."{dataset.table_name}" select 1, gen_random_uuid(), 1')

    async def indexed() -> list[str]:
        async with upkeep.database.connection() as db:
            rows = await db.fetch(
                "select name from dataset join pg_index on indrelid = to_regclass('datasets.' || table_name) order by 1"
            )
        return [row["name"] for row in rows]

    def give() -> Awaitable[int]:
        return index_rows.run_once(upkeep.database)

    monkeypatch.setattr(index_rows, "LARGE_BYTES", 0)
    assert (await both(give), await indexed()) == (1, ["large"])
    await upkeep.execute("update job set is_writing = false")
    assert (await both(give), await indexed()) == (1, ["large", "written"])
    assert await give() == 0


async def test_a_writer_that_keeps_on_does_not_stop_the_others_over_its_table(upkeep: Upkeep) -> None:
    await post_import(upkeep.service.client, FILE, "held")
    async with upkeep.database.transaction() as db:
        dataset = await datasets.lock(db, await db.fetchval("select id from dataset where name = 'held'"))
        await datasets.create_table(db, dataset, [Column("id", ColumnType.INTEGER)])
    insert = f'insert into datasets."{dataset.table_name}" select 1, gen_random_uuid(), 1'
    async with upkeep.database.transaction() as writer:
        await writer.execute(insert)
        assert await index_rows.run_once(upkeep.database) == 0
        await upkeep.execute(insert)
    assert await index_rows.run_once(upkeep.database) == 1


async def test_a_worker_does_its_duties_by_itself(start_service: StartService) -> None:
    service = await start_service("api", keep_failed_s=0)
    upload_id = (await service.client.post("/v1/uploads", content=FILE)).json()["id"]
    worker = await service.worker()
    await worker.has_logged("uploads.expired")
    assert (await service.client.get(f"/v1/uploads/{upload_id}")).json()["expired_reason"] == "retention"
    await eventually(lambda: service.files == [])
