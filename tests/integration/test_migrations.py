"""The migrations make the schema, once, whoever runs them; and the schema refuses what must not be."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from service import embedded
from service.domain.job import FINAL, TRANSITIONS, State
from service.store import migrations
from service.store.queries import load
from tests import schema
from tests.running import Servers, fork

TABLES = sorted(entry.name.removesuffix(".sql") for entry in (files("sql") / "queries").iterdir())


@pytest.fixture
async def db(database: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser in a migrated database."""
    connection = await asyncpg.connect(database, server_settings={"search_path": "millrace"})
    yield connection
    await connection.close()


@pytest.fixture
async def account_id(db: asyncpg.Connection) -> UUID:
    found: UUID = await db.fetchval("insert into account (id, name) values ($1, 'dev') returning id", uuid4())
    return found


async def add_job(db: asyncpg.Connection, account_id: UUID, state: State = State.QUEUED, **columns: Any) -> UUID:
    """A job in any state, as the schema wants it but for what `columns` says."""
    has_ended = state in FINAL
    given = {
        "id": uuid4(),
        "account_id": account_id,
        "processor": "csv",
        "queue": "cpu",
        "state": state,
        "unit": "bytes",
        "phase": "",
        "outcome": "none" if has_ended else None,
        "finished_at": await db.fetchval("select now()") if has_ended else None,
        "problem": "{}" if state is State.FAILED else None,
    } | columns
    places = ", ".join(f"${n}" for n in range(1, len(given) + 1))
    job_id: UUID = await db.fetchval(
        f"insert into job ({', '.join(given)}) values ({places}) returning id", *given.values()
    )
    return job_id


async def test_migrations_applied_twice_do_nothing(database: str, servers: Servers) -> None:
    before = await schema.dumped(database, servers.postgres_bin)
    assert await migrations.migrate(database) == []
    assert await schema.dumped(database, servers.postgres_bin) == before


async def test_two_processes_that_migrate_at_once_both_succeed(servers: Servers, tmp_path: Path) -> None:
    async with servers.database("template1") as url, servers.redis() as redis_url:
        settings = {"MILLRACE_DATABASE_URL": url, "MILLRACE_REDIS_URL": redis_url}
        commands = [
            await fork("service migrate", "service", ["migrate"], settings, tmp_path / f"{n}.log") for n in range(2)
        ]
        assert [await command.ended() for command in commands] == [0, 0], [c.output for c in commands]
        told = sorted(command.output.strip() for command in commands)
        assert told == ["\n".join(migrations.available()), "nothing to do"]
        for command in commands:
            await command.discard()


async def test_two_databases_of_a_new_server_may_be_migrated_at_once() -> None:
    folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
    try:
        async with embedded.start(folder, redis=False) as new:
            servers = Servers(new.database_url, "", new.postgres_bin)
            async with servers.database("template1") as one, servers.database("template1") as two:
                applied = await asyncio.gather(migrations.migrate(one), migrations.migrate(two))
        assert list(applied) == [migrations.available()] * 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_the_schema_file_is_what_the_migrations_make(database: str, servers: Servers) -> None:
    assert schema.FILE.exists(), "run `make schema`"
    assert await schema.dumped(database, servers.postgres_bin) == schema.FILE.read_text(), "run `make schema`"


@pytest.mark.parametrize("table", TABLES)
async def test_every_named_query_fits_the_schema(db: asyncpg.Connection, table: str) -> None:
    for statement in load(table).values():
        await db.prepare(statement)


async def test_the_database_knows_the_same_moves_as_the_domain(db: asyncpg.Connection) -> None:
    rows = await db.fetch("select from_state, to_state from job_transition")
    moves = {(State(row["from_state"]), State(row["to_state"])) for row in rows}
    assert moves == {(before, after) for before, followers in TRANSITIONS.items() for after in followers}


@pytest.mark.parametrize("before", State)
async def test_the_database_refuses_every_other_move(db: asyncpg.Connection, account_id: UUID, before: State) -> None:
    for after in State:
        if after in (before, *TRANSITIONS[before]):
            continue
        job_id = await add_job(db, account_id, before)
        with pytest.raises(asyncpg.CheckViolationError, match=f"cannot go from {before} to {after}"):
            await db.execute("update job set state = $2 where id = $1", job_id, after)


BROKEN: dict[str, tuple[State, dict[str, Any], str]] = {
    "a completed job without an end": (
        State.COMPLETED,
        {"finished_at": None, "outcome": None},
        "final_states_have_an_end",
    ),
    "a completed job without an outcome": (State.COMPLETED, {"outcome": None}, "final_states_have_an_outcome"),
    "a failed job without a problem": (State.FAILED, {"problem": None}, "failures_say_why"),
    "more rows read than accounted for": (State.RUNNING, {"read": 3, "inserted": 2}, "every_row_is_accounted_for"),
    "more rows stored than read": (State.RUNNING, {"inserted": 1}, "every_row_is_accounted_for"),
    "a priority of 11": (State.QUEUED, {"priority": 11}, "job_priority_check"),
    "an unknown outcome": (State.COMPLETED, {"outcome": "fine"}, "job_outcome_check"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_the_database_refuses(db: asyncpg.Connection, account_id: UUID, what: str) -> None:
    state, columns, constraint = BROKEN[what]
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await add_job(db, account_id, state, **columns)


async def test_the_database_refuses_a_running_job_with_an_end(db: asyncpg.Connection, account_id: UUID) -> None:
    job_id = await add_job(db, account_id, State.RUNNING)
    with pytest.raises(asyncpg.CheckViolationError, match="final_states_have_an_end"):
        await db.execute("update job set finished_at = now(), outcome = 'none' where id = $1", job_id)


async def test_the_database_refuses_an_unknown_state(db: asyncpg.Connection, account_id: UUID) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await add_job(db, account_id, state="asleep")  # type: ignore[arg-type]


OWN = ("lease", "attempt", "event")
"""What belongs to a job without a key that says so."""


async def told_of(db: asyncpg.Connection, job_id: UUID) -> dict[str, int]:
    """How many rows of each kind a job has."""
    return {table: await db.fetchval(f"select count(*) from {table} where job_id = $1", job_id) for table in OWN}


async def test_a_job_that_is_deleted_takes_its_lease_attempts_and_events_along(
    db: asyncpg.Connection, account_id: UUID
) -> None:
    gone, kept = [await add_job(db, account_id) for _ in range(2)]
    claim = (load("claim")["claim"], "cpu", "worker:1", 10.0, 2, 600.0)
    await db.fetch(*claim)
    stopped = (["queued"] * 2, ["job.requeued"] * 2, [None] * 2, [None] * 2, [0] * 2, [0.0] * 2)
    await db.fetch(load("claim")["settle"], sorted([gone, kept]), [1] * 2, *stopped)
    await db.fetch(*claim)
    assert await told_of(db, gone) == {"lease": 1, "attempt": 1, "event": 3}
    await db.execute("delete from job where id = $1", gone)
    assert await told_of(db, gone) == dict.fromkeys(OWN, 0)
    assert await told_of(db, kept) == {"lease": 1, "attempt": 1, "event": 3}
    await db.execute("delete from account where id = $1", account_id)
    assert await told_of(db, kept) == dict.fromkeys(OWN, 0)


async def test_work_under_way_goes_on_under_the_claims_of_a_newer_release(servers: Servers) -> None:
    async with servers.database("template1") as url:
        db = await asyncpg.connect(url)
        try:
            await migrations._prepare(db)
            for name in migrations.available():
                if name < "0007":
                    await migrations._apply(db, name)
            account_id = await db.fetchval("insert into account (id, name) values ($1, 'old') returning id", uuid4())
            running = await add_job(db, account_id, State.RUNNING, epoch=1, event_seq=2, attempt=1)
            waiting = await add_job(db, account_id, event_seq=1)
            await db.execute(
                "insert into lease (job_id, account_id, epoch, worker, expires_at, queue, processor) "
                "values ($1, $2, 1, 'worker:1', now() + interval '10 s', 'cpu', 'csv')",
                running,
                account_id,
            )
            await db.execute(
                "insert into attempt (job_id, account_id, epoch, number, worker) values ($1, $2, 1, 1, 'worker:1')",
                running,
                account_id,
            )
            await migrations.migrate(url)
            claimed = await db.fetch(load("claim")["claim"], "cpu", "worker:2", 10.0, 9, 600.0)
            ending = [[running], [1], ["completed"], ["job.completed"], [None], [None], [0], [0.0]]
            settled = await db.fetch(load("claim")["settle"], *ending)
            ends = await db.fetch("select state, sign, run_ms from job_end")
        finally:
            await db.close()
    assert [(row["id"], row["epoch"]) for row in claimed] == [(waiting, 1)]
    assert [row["id"] for row in settled] == [running]
    assert [(end["state"], end["sign"]) for end in ends] == [("completed", 1)]
    assert ends[0]["run_ms"] is not None
