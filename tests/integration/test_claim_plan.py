"""A claim looks at a handful of rows, however many jobs wait: its plan says so, on any machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import asyncpg

from service.store import claims

WAITING, ACCOUNTS = 100_000, 20
BLOCKS_AN_ACCOUNT = 30
"""Two index probes of three or four blocks each, the row, and its share of what the one claim writes."""

FILL = f"""
    insert into account (id, name) select gen_random_uuid(), 'account-' || n from generate_series(1, {ACCOUNTS}) n;
    insert into job (id, account_id, processor, queue, state, unit, phase, event_seq, priority)
    select gen_random_uuid(), account.id, 'csv', 'cpu', 'queued', 'bytes', 'waiting', 1, 5
    from account, generate_series(1, {WAITING // ACCOUNTS});
"""


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, top down."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


async def test_a_claim_from_a_hundred_thousand_waiting_jobs_reads_and_sorts_no_more_than_a_row_an_account(
    database: str,
) -> None:
    db = await asyncpg.connect(database, server_settings={"search_path": "millrace"})
    try:
        await db.execute(FILL)
        await db.execute("vacuum analyze job")
        await db.execute("analyze account")
        told = await db.fetchval(
            f"explain (analyze, buffers, format json) {claims._SQL['claim']}", "cpu", "worker:1", 10.0, 2, 600.0
        )
    finally:
        await db.close()
    (explained,) = json.loads(told)
    nodes = list(nodes_of(explained["Plan"]))
    of_jobs = [node for node in nodes if node.get("Relation Name") == "job" and node["Node Type"] != "ModifyTable"]
    assert of_jobs
    assert {node["Node Type"] for node in of_jobs} <= {"Index Scan", "Index Only Scan"}
    for node in nodes:
        if "Sort" in node["Node Type"]:
            assert node["Plans"][0]["Actual Rows"] <= ACCOUNTS
    touched = explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"]
    assert touched <= ACCOUNTS * BLOCKS_AN_ACCOUNT, f"a claim touches {touched} blocks"
