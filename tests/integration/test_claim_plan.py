"""A claim reads a handful of rows, however many jobs wait or have ended: the server's counters say so."""

from __future__ import annotations

import json

import asyncpg

from service.store import claims
from service.store.database import WORKER_PLANS

SETTINGS = {"search_path": "millrace", **WORKER_PLANS}
WAITING, ACCOUNTS = 100_000, 20
BLOCKS_AN_ACCOUNT = 30
"""Two index probes of three or four blocks each, the row, and its share of what the one claim writes."""
ROWS_AN_ACCOUNT = 8
"""Found by the probes, then locked, changed, and looked at for an event's account."""

FILL = f"""
    insert into account (id, name) select gen_random_uuid(), 'account-' || n from generate_series(1, {ACCOUNTS}) n;
    insert into job (id, account_id, processor, queue, state, unit, phase, event_seq, priority)
    select gen_random_uuid(), account.id, 'csv', 'cpu', 'queued', 'bytes', 'waiting', 1, 5
    from account, generate_series(1, {WAITING // ACCOUNTS});
"""

ONE_ACCOUNT = """
    insert into account (id, name) values (gen_random_uuid(), 'only');
    insert into job (id, account_id, processor, queue, state, unit, phase, event_seq)
    select lpad(to_hex(n), 32, '0')::uuid, account.id, 'csv', 'cpu', 'queued', 'bytes', 'waiting', 1
    from account, generate_series(1, 5200) n;
"""
END = """
    set session_replication_role = replica;  -- without a walk through every state
    update job
    set state = 'completed', outcome = 'complete', finished_at = now()
    where id in (select id from job order by id limit 5000);
    set session_replication_role = origin;
"""


async def test_a_claim_from_a_hundred_thousand_waiting_jobs_reads_no_more_than_a_few_rows_an_account(
    database: str,
) -> None:
    db = await asyncpg.connect(database, server_settings=SETTINGS)
    try:
        await db.execute(FILL)
        await db.execute("vacuum analyze job")
        await db.execute("analyze account")
        assert len(await db.fetch(claims._SQL["claim"], "cpu", "worker:1", 10.0, 2, 600.0)) == 2  # it plans, once
        async with db.transaction():
            told = await db.fetchval(
                f"explain (analyze, buffers, format json) {claims._SQL['claim']}", "cpu", "worker:1", 10.0, 2, 600.0
            )
            read = await db.fetchrow(
                "select seq_tup_read, idx_tup_fetch from pg_stat_xact_user_tables where relid = 'job'::regclass"
            )
    finally:
        await db.close()
    (explained,) = json.loads(told)
    plan = explained["Plan"]
    assert plan["Actual Rows"] == 2
    assert read["seq_tup_read"] == 0
    assert 2 <= read["idx_tup_fetch"] <= ACCOUNTS * ROWS_AN_ACCOUNT
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert touched <= ACCOUNTS * BLOCKS_AN_ACCOUNT, f"a claim touches {touched} blocks"


async def test_a_claim_reads_no_jobs_that_have_ended(database: str) -> None:
    db = await asyncpg.connect(database, server_settings=SETTINGS)
    try:
        await db.execute(ONE_ACCOUNT)
        await db.execute("vacuum analyze job")  # the planner knows of none that has ended
        await db.execute(END)
        await db.execute("select pg_stat_force_next_flush()")  # the counters start afresh
        async with db.transaction():
            claimed = await db.fetch(claims._SQL["claim"], "cpu", "worker:1", 10.0, 100, 600.0)
            read = await db.fetchrow(
                "select seq_tup_read, idx_tup_fetch from pg_stat_xact_user_tables where relid = 'job'::regclass"
            )
    finally:
        await db.close()
    assert len(claimed) == 100
    assert read["seq_tup_read"] == 0
    assert read["idx_tup_fetch"] <= 100 * ROWS_AN_ACCOUNT
