"""Connections to PostgreSQL, as one of two roles: `millrace_api` under row-level security, or `millrace_worker`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias
from uuid import UUID

import asyncpg

from service.domain.errors import Transient
from service.store import acting

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

Isolation = Literal["read_committed", "repeatable_read"]

API_ROLE = "millrace_api"
WORKER_ROLE = "millrace_worker"

WORKER_PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
"""A worker's few statements look things up by key, however few rows there were when they were planned, and planning the
claim anew each time costs more than it."""

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,  # 57P0x: the server is being stopped or restarted
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # the server has said goodbye between two statements of a transaction
)
"""What a database that is away, stopping or starting raises."""


_JSON = json.JSONDecoder()
_EMPTY = b"\1{}"  # what most columns hold

CLASHED = asyncpg.TransactionRollbackError
"""What PostgreSQL raises for one of two transactions that wait for each other; the next try goes through."""

UNSTORABLE = asyncpg.DataError
"""What a value raises that PostgreSQL has no form for, such as NUL in a text."""


class Database:
    """A pool of connections in one role. Build with `open_database`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside a transaction. Raises Transient when the database is away or the pool is busy."""
        try:
            acquired = await self._pool.acquire(timeout=10)
        except UNREACHABLE as error:
            raise Transient("busy", "The database cannot be reached at the moment.", retry_after_s=2) from error
        try:
            yield acquired
        except (asyncio.CancelledError, GeneratorExit):
            # asyncpg would wait for the server to confirm the cancel, which a dead one never does.
            with suppress(asyncpg.InterfaceError):  # one that has died meanwhile is the pool's again
                acquired.terminate()
            raise
        finally:
            await self._pool.release(acquired)

    @asynccontextmanager
    async def transaction(
        self, account_id: UUID | None = None, *, isolation: Isolation = "read_committed"
    ) -> AsyncIterator[Connection]:
        """A transaction; the API names the account whose rows it may see and write; its act, if any, is recorded."""
        async with self.connection() as db:
            await db.execute(_begin(account_id, isolation))
            try:
                yield db
                if account_id is not None and (act := acting.now()) is not None:
                    await acting.record(db, act)
            except Exception:
                if not db.is_closed():
                    await db.execute("rollback")
                raise
            await db.execute("commit")

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


@asynccontextmanager
async def savepoint(db: Connection) -> AsyncIterator[None]:
    """A part of a transaction that may fail without the rest."""
    await db.execute("savepoint part")
    try:
        yield
    except Exception:
        if not db.is_closed():
            await db.execute("rollback to savepoint part")
        raise
    await db.execute("release savepoint part")


@asynccontextmanager
async def open_database(url: str, *, role: str, connections: int, name: str) -> AsyncIterator[Database]:
    """Open a pool in `role`; `name` is what the server's activity view shows."""
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=connections,
        init=_speak_json,
        reset=_as_it_was,
        server_settings={
            "role": role,
            "search_path": "millrace",
            "application_name": name,
            "timezone": "UTC",
            "jit": "off",
            **(WORKER_PLANS if role == WORKER_ROLE else {}),
            # A process that hangs or a host that vanishes must not keep a row locked.
            "idle_in_transaction_session_timeout": "10s",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        },
        command_timeout=60,
    )
    database = Database(pool)
    try:
        yield database
    finally:
        try:
            async with asyncio.timeout(3):
                await database.close()
        except TimeoutError:
            pool.terminate()


def _begin(account_id: UUID | None, isolation: Isolation) -> str:
    """Not asyncpg's own beginning: the account comes with it, in one round trip."""
    begin = f"begin isolation level {isolation.replace('_', ' ')}"
    return begin if account_id is None else f"{begin}; select set_config('millrace.account', '{account_id}', true)"


async def _as_it_was(_db: asyncpg.Connection) -> None:
    """Nothing to reset, and so no round trip: all that we set ends with its transaction."""


async def _speak_json(db: asyncpg.Connection) -> None:
    # Binary, as COPY needs it: a version, 1, and the text.
    await db.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_to_jsonb,
        decoder=_from_jsonb,
        format="binary",
    )


def _to_jsonb(value: object) -> bytes:
    return _EMPTY if value == {} else b"\1" + json.dumps(value).encode()


def _from_jsonb(data: bytes) -> object:
    if data == _EMPTY:
        return {}
    value, _ = _JSON.raw_decode(data[1:].decode())  # as the server writes it there is no space around it to look for
    return value
