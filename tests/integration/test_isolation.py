"""No account sees, or writes into, what belongs to another: over HTTP, and below it, in PostgreSQL itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from tests.running import Json, Service, account_id_of, eventually, imported, rows_of

OWNED = (
    "api_key", "upload", "dataset", "job", "lease", "attempt", "event", "reject",
    "schedule", "schedule_slot", "job_end", "job_stat", "flow", "flow_event", "dependency", "note",
    "kept_table", "file_header",
    "upload_usage", "upload_rule", "session", "audit", "audit_head",
)  # fmt: skip
OF_ALL = {"video", "video_wish", "youtube_quota"}  # what is known of public videos, shown to no API
WITHOUT_ACCOUNT = {
    "migration", "job_transition", "account", "storage", "running_limit", "turn_clock", "worker",
} | OF_ALL  # fmt: skip
READABLE = ("account", "upload", "dataset", "job", "lease", "attempt", "event", "reject", "file_header")


@dataclass(frozen=True)
class Neighbours:
    """Two accounts, each with one import of one row and one reject into a dataset of the same name."""

    service: Service
    other: httpx.AsyncClient
    job: Json
    job_of_other: Json
    account_id: UUID
    other_id: UUID


@pytest.fixture(scope="module")
async def neighbours(service: Service) -> AsyncIterator[Neighbours]:
    async with await service.account("other") as other:
        yield Neighbours(
            service,
            other,
            await imported(service.client, b"a,b\n1,mine\n2\n", "contacts", header="true"),
            await imported(other, b"a,b\n1,theirs\n2\n", "contacts", header="true"),
            await account_id_of(service.database_url),
            await account_id_of(service.database_url, "other"),
        )


@asynccontextmanager
async def as_role(service: Service, role: str, account_id: UUID | None = None) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the service has it, with or without an account set."""
    db = await asyncpg.connect(service.database_url, server_settings={"role": role, "search_path": "millrace"})
    try:
        if account_id is not None:
            await db.execute("select set_config('millrace.account', $1, false)", str(account_id))
        yield db
    finally:
        await db.close()


async def test_another_accounts_things_do_not_exist(neighbours: Neighbours) -> None:
    for path in (*neighbours.job["links"].values(), f"/v1/uploads/{neighbours.job['upload_id']}"):
        if path != neighbours.job["links"]["dataset"]:
            assert (await neighbours.other.get(path)).status_code == 404, path


async def test_lists_hold_only_ones_own(neighbours: Neighbours) -> None:
    jobs = (await neighbours.other.get("/v1/jobs")).json()["jobs"]
    assert [job["id"] for job in jobs] == [neighbours.job_of_other["id"]]
    uploads = (await neighbours.other.get("/v1/uploads")).json()["uploads"]
    assert [upload["id"] for upload in uploads] == [neighbours.job_of_other["upload_id"]]
    datasets = (await neighbours.other.get("/v1/datasets")).json()["datasets"]
    assert [dataset["name"] for dataset in datasets] == ["contacts"]


async def test_a_dataset_of_the_same_name_is_another_one(neighbours: Neighbours) -> None:
    assert [row["b"] for row in await rows_of(neighbours.service.client, "contacts")] == ["mine"]
    assert [row["b"] for row in await rows_of(neighbours.other, "contacts")] == ["theirs"]
    assert (await neighbours.other.get("/v1/datasets/contacts/export")).content == b"a,b\n1,theirs\n"


async def test_a_job_cannot_read_another_accounts_upload(neighbours: Neighbours) -> None:
    body = {"processor": "csv", "upload_id": neighbours.job["upload_id"], "dataset": "stolen"}
    assert (await neighbours.other.post("/v1/jobs", json=body)).status_code == 404
    assert (await neighbours.other.get("/v1/datasets/stolen")).status_code == 404


@pytest.mark.parametrize("table", READABLE)
async def test_the_api_role_sees_nothing_without_an_account(neighbours: Neighbours, table: str) -> None:
    async with as_role(neighbours.service, "millrace_api") as db:
        assert await db.fetchval(f"select count(*) from {table}") == 0


@pytest.mark.parametrize("table", [t for t in READABLE if t != "lease"])
async def test_the_api_role_sees_what_belongs_to_its_account(neighbours: Neighbours, table: str) -> None:
    column = "id" if table == "account" else "account_id"
    async with as_role(neighbours.service, "millrace_api", neighbours.other_id) as db:
        assert await db.fetchval(f"select array_agg(distinct {column}) from {table}") == [neighbours.other_id]


async def test_the_api_role_reads_no_keys(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_api", neighbours.account_id) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.fetch("select hash from api_key")


@pytest.mark.parametrize("account", ["none", "another"])
async def test_the_api_role_writes_for_no_account_but_its_own(neighbours: Neighbours, account: str) -> None:
    insert = "insert into upload (id, account_id, name, size_bytes, sha256) values ($1, $2, 'x', 1, '')"
    set_to = None if account == "none" else neighbours.other_id
    async with as_role(neighbours.service, "millrace_api", set_to) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await db.execute(insert, uuid4(), neighbours.account_id)


async def test_the_api_role_changes_and_deletes_nothing_of_others(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_api", neighbours.other_id) as db:
        mine = neighbours.account_id
        assert await db.execute("update job set priority = 10 where account_id = $1", mine) == "UPDATE 0"
        assert await db.execute("delete from upload where account_id = $1", mine) == "DELETE 0"


async def test_the_api_role_cannot_give_a_job_away(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_api", neighbours.account_id) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await db.execute("update job set account_id = $1", neighbours.other_id)


@pytest.mark.parametrize("role", ["millrace_api", "millrace_worker"])
async def test_no_role_of_ours_writes_a_row_that_joins_two_accounts(neighbours: Neighbours, role: str) -> None:
    insert = "insert into event (job_id, account_id, seq, type, data) values ($1, $2, 99, 'job.created', '{}')"
    async with as_role(neighbours.service, role, neighbours.other_id) as db:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await db.execute(insert, UUID(neighbours.job["id"]), neighbours.other_id)


async def test_every_table_belongs_to_accounts_and_guards_it(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_worker") as db:
        tables = await db.fetch(
            """
            select relname, relrowsecurity, exists (
              select from pg_attribute
              where attrelid = pg_class.oid and attname = 'account_id' and attnotnull
            ) as has_account
            from pg_class
            where relnamespace = 'millrace'::regnamespace and relkind in ('r', 'p')
            """
        )
    assert {t["relname"] for t in tables if t["has_account"]} >= set(OWNED)
    assert {t["relname"] for t in tables if not t["has_account"]} == WITHOUT_ACCOUNT
    assert {t["relname"] for t in tables if not t["relrowsecurity"]} == {"migration", "job_transition"}


async def test_a_datasets_table_is_the_workers_and_guarded(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_worker") as db:
        tables = await db.fetch(
            "select pg_get_userbyid(relowner) as owner, relrowsecurity from pg_class "
            "where relnamespace = 'datasets'::regnamespace and relkind = 'r'"
        )
    assert [(t["owner"], t["relrowsecurity"]) for t in tables] == [("millrace_worker", True)] * 2


async def test_the_api_role_sees_only_its_own_datasets_rows(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_worker") as db:
        found = await db.fetch("select account_id, table_name from dataset where columns is not null")
    tables = {row["account_id"]: row["table_name"] for row in found}
    async with as_role(neighbours.service, "millrace_api", neighbours.other_id) as db:
        assert await db.fetchval(f'select count(*) from datasets."{tables[neighbours.account_id]}"') == 0
        assert await db.fetchval(f'select count(*) from datasets."{tables[neighbours.other_id]}"') == 1
    async with as_role(neighbours.service, "millrace_api") as db:
        assert await db.fetchval(f'select count(*) from datasets."{tables[neighbours.other_id]}"') == 0


async def test_the_api_role_writes_no_rows_into_a_dataset(neighbours: Neighbours) -> None:
    async with as_role(neighbours.service, "millrace_api", neighbours.account_id) as db:
        table = await db.fetchval("select table_name from dataset where columns is not null")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(f'delete from datasets."{table}"')


async def test_a_revoked_key_soon_opens_nothing(neighbours: Neighbours) -> None:
    async with await neighbours.service.account("gone") as gone:
        assert (await gone.get("/v1/jobs")).status_code == 200
        async with as_role(neighbours.service, "millrace_worker") as db:
            await db.execute(
                "update api_key set revoked_at = now() where account_id = (select id from account where name = 'gone')"
            )

        async def refused() -> bool:
            return (await gone.get("/v1/jobs")).status_code == 401

        await eventually(refused)  # a process remembers a key for some seconds
