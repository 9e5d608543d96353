"""What is sent in PostgreSQL's binary format is what PostgreSQL reads, and what asyncpg would have sent."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.domain.chunk import Fault, Reject
from service.store import binary, rejects

TEXTS = ["", "a", "Zürich", "東京", "🙂", 'quo"te', "back\\slash", "{braces,}", "NULL", "new\nline", "x" * 70_000]
JOB = """
    insert into job (id, account_id, processor, queue, state, unit, phase, event_seq)
    values ($1, $2, 'csv', 'cpu', 'queued', 'bytes', 'waiting', 1)
"""
LISTS = [None, [], [None], [""], TEXTS, [None, "a", None], ["only"], [str(n) for n in range(1_600)]]


async def test_every_kind_of_value_arrives(database: str) -> None:
    key, places = UUID(int=2**128 - 1), range(100)
    numbers = [2**63 - 1 - n if n % 2 else n - 2**63 for n in places]
    rows = [
        (key, number, TEXTS[n % len(TEXTS)] or None, LISTS[n % len(LISTS)], [n, TEXTS], n % 2 == 0)
        for n, number in zip(places, numbers, strict=True)
    ]
    db = await asyncpg.connect(database)
    try:
        await db.execute("create temp table t (id uuid, n bigint, word text, words text[], data jsonb, flag boolean)")
        encoded = (
            binary.row(
                binary.uuid(a), binary.bigint(n), binary.text(c), binary.texts(d), binary.jsonb(json.dumps(e)),
                binary.boolean(f),
            )
            for a, n, c, d, e, f in rows
        )  # fmt: skip
        assert await db.copy_to_table("t", source=binary.stream(encoded), format="binary") == f"COPY {len(rows)}"
        found = await db.fetch("select * from t order by n")
    finally:
        await db.close()
    assert [(*row[:4], json.loads(row[4]), row[5]) for row in found] == sorted(rows, key=lambda row: row[1])


async def test_rejects_are_read_back_as_they_were(database: str) -> None:
    job, account = uuid4(), uuid4()
    fault = Fault("b", "code", "message", "suggestion")
    given = [
        Reject(1, 2, "b", "code", "message", "suggestion", "a,b\n", (fault, Fault(None, "c", "m", "s")), ("a", None)),
        Reject(2, 2**40, None, "code", "ü", "s", "", cells=None, cut=True),
        Reject(3, 4, "", "code", "m", "s", '"', cells=()),
    ]
    db = await asyncpg.connect(database, server_settings={"search_path": "millrace"})
    try:
        await db.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        await db.execute("insert into account (id, name) values ($1, 'ours')", account)
        await db.execute(JOB, job, account)
        await rejects.add(db, job, account, given)
        await rejects.add(db, job, account, [])
        found = await rejects.page(db, job, after_row=0, limit=10)
        owners = await db.fetchval("select array_agg(distinct account_id) from reject")
    finally:
        await db.close()
    assert [stored.reject for stored in found] == given
    assert owners == [account]


def test_text_that_is_none_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        binary.text("\ud800")
