"""Brings a database to the newest schema: roles once, then each sql/migrations/NNNN_*.sql in its own transaction."""

from __future__ import annotations

from importlib.resources import files

import asyncpg

_LOCK = 0x4D494C4C  # "MILL": one process migrates, the others wait


async def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names of the migrations applied. Safe to run in parallel."""
    db = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        await db.execute("select pg_advisory_lock($1)", _LOCK)
        await _prepare(db)
        done = {row["name"] for row in await db.fetch("select name from migration")}
        missing = [name for name in available() if name not in done]
        for name in missing:
            await _apply(db, name)
        await db.execute("select keep_event_order()")  # the database may be a copy, restored on another server
        return missing
    finally:
        await db.close()


def available() -> list[str]:
    """The names of all migrations, in order."""
    names = (entry.name for entry in (files("sql") / "migrations").iterdir())
    return sorted(name for name in names if name.endswith(".sql"))


async def _prepare(db: asyncpg.Connection) -> None:
    if not await db.fetchval("select to_regclass('millrace.migration') is not null"):
        await db.execute((files("sql") / "roles.sql").read_text("utf-8"))
    await db.execute("set role millrace_worker; set search_path = millrace")
    await db.execute(
        "create table if not exists migration (name text primary key, applied_at timestamptz not null default now())"
    )


async def _apply(db: asyncpg.Connection, name: str) -> None:
    async with db.transaction():
        await db.execute((files("sql") / "migrations" / name).read_text("utf-8"))
        await db.execute("insert into migration (name) values ($1)", name)
