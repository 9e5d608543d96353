"""Runs Millrace the way a user does: real processes, real servers, real HTTP. What `tests/conftest.py` hands out."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx
from redis.asyncio import Redis

from service.embedded.child import LAUNCH
from service.store import migrations
from workers import forkserver
from workers.forkserver import Forked, ForkServer

ROOT = Path(__file__).parents[1]
KEY = "mr_test"
DEADLINE_S = 60.0
FINAL = ("completed", "failed", "cancelled")
TEMPLATE = "millrace_template"
REDIS_DATABASES = 16
SHOWN_BYTES = 8_000

T = TypeVar("T")
Json = dict[str, Any]
Content = bytes | AsyncIterable[bytes]

ALIVE: list[Running] = []
"""Processes whose output is shown when a test fails."""

LOADED = ("service.__main__", "workers.__main__")
_FORK_SERVERS: list[ForkServer] = []


async def eventually(
    look: Callable[[], T | Awaitable[T]],
    timeout_s: float = DEADLINE_S,
    pause_s: float = 0.01,
) -> T:
    """The first true answer of `look`, asked again and again. Raises TimeoutError with the last answer."""
    answer: T | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                looking = look()
                answer = await looking if inspect.isawaitable(looking) else looking
                if answer:
                    return answer
                await asyncio.sleep(pause_s)  # other processes set no Event of ours
    except TimeoutError as error:
        raise TimeoutError(f"not so within {timeout_s:g} s; the last look gave {answer!r}") from error


@dataclass(frozen=True, slots=True)
class Servers:
    """The embedded servers of this test process, and fresh databases on them."""

    database_url: str
    redis_url: str
    postgres_bin: Path
    free_redis: list[int] = field(default_factory=lambda: list(range(REDIS_DATABASES)))

    def url(self, database: str) -> str:
        """The URL of a database by name."""
        return self.database_url.replace("/millrace?", f"/{database}?", 1)

    async def execute(self, statement: str) -> None:
        """Run one statement as superuser outside of any test's database."""
        db = await asyncpg.connect(self.database_url)
        try:
            await db.execute(statement)
        finally:
            await db.close()

    @asynccontextmanager
    async def database(self, template: str = TEMPLATE) -> AsyncIterator[str]:
        """The URL of a fresh database, migrated unless `template` is another one; dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        await self.execute(f"create database {name} template {template}")
        try:
            yield self.url(name)
        finally:
            await self.execute(f"drop database {name} with (force)")

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[str]:
        """The URL of an empty Redis database. Only pub/sub, which carries mere wake-ups, reaches across them."""
        number = self.free_redis.pop()
        url = f"{self.redis_url}?db={number}"
        async with Redis.from_url(url) as redis:
            await redis.flushdb()
        try:
            yield url
        finally:
            self.free_redis.append(number)


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Start the embedded servers in a helper process, with a migrated database to copy."""
    helper = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.servers", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        told = json.loads(await helper.stdout.readline())
        found = Servers(told["database_url"], told["redis_url"], Path(told["postgres_bin"]))
        await found.execute("alter system set fsync = off")  # what tests write need not outlive a power cut
        await found.execute("select pg_reload_conf()")
        await found.execute(f"create database {TEMPLATE}")
        await migrations.migrate(found.url(TEMPLATE))
        yield found
    finally:
        helper.stdin.close()
        await helper.wait()


class Running:
    """A child process of the test; its output goes to a file. Ends with the test process, however that ends."""

    def __init__(self, process: asyncio.subprocess.Process | Forked, name: str, log: Path) -> None:
        self.process = process
        self.name = name
        self.log = log
        ALIVE.append(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    @property
    def output(self) -> str:
        """What it has printed and logged so far."""
        return self.log.read_text(errors="replace")

    @property
    def logged(self) -> list[Json]:
        """The structured log lines so far."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    async def has_logged(self, event: str, timeout_s: float = DEADLINE_S) -> Json:
        """Wait for a log line of that event."""
        return await eventually(lambda: next((x for x in self.logged if x.get("event") == event), {}), timeout_s)

    def kill(self) -> None:
        """kill -9."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """SIGTERM, and its exit code."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGTERM)
        return await self.ended(timeout_s)

    async def ended(self, timeout_s: float = DEADLINE_S) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def discard(self) -> None:
        """Make sure that it is gone, for the end of a fixture."""
        try:
            await self.stop(15)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        finally:
            ALIVE.remove(self)


async def start(name: str, arguments: list[str], settings: dict[str, str], log: Path) -> Running:
    """Start `python ARGUMENTS` with these settings and no others, tied to our life."""
    tied = ["-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGTERM)), "self", "--", sys.executable]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *tied,
            *arguments,
            cwd=ROOT,
            env=_inherited() | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Running(process, name, log)


async def fork(name: str, module: str, arguments: list[str], settings: dict[str, str], log: Path) -> Running:
    """The same of `python -m MODULE ARGUMENTS`, by forking a process that has loaded it all, where that can be."""
    if not forkserver.IS_AVAILABLE:
        return await start(name, ["-m", module, *arguments], settings, log)
    if not _FORK_SERVERS:
        _FORK_SERVERS.append(await ForkServer.start(LOADED, _inherited(), ROOT))
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        descriptors = (nothing.fileno(), output.fileno(), output.fileno())
        process = await _FORK_SERVERS[0].fork(module, arguments, _inherited() | settings, descriptors)
    return Running(process, name, log)


def _inherited() -> dict[str, str]:
    """Our environment without settings, and without what has all be compiled each time: a third of a start."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("MILLRACE_") and key != "PYTHONDONTWRITEBYTECODE"
    }


@dataclass(slots=True)
class Service:
    """`python -m service` over a database, a Redis and a folder of its own; and workers beside it, if asked for."""

    settings: dict[str, str]
    folder: Path
    process: Running
    url: str
    client: httpx.AsyncClient
    key: str = KEY
    others: list[Running] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The process id of the service."""
        return self.process.pid

    @property
    def database_url(self) -> str:
        """Its database, for a look from outside."""
        return self.settings["MILLRACE_DATABASE_URL"]

    @property
    def files(self) -> list[str]:
        """The names in its folder of uploads, without the folder's mark."""
        return sorted(path.name for path in (self.folder / "files").iterdir() if not path.name.startswith("."))

    def kill(self) -> None:
        """kill -9 of the service."""
        self.process.kill()

    async def stop(self) -> int:
        """An orderly end; its exit code."""
        return await self.process.stop()

    async def worker(self, module: str = "workers", **settings: object) -> Running:
        """Start `python -m workers` beside it, ready to take jobs."""
        log = self.folder / f"worker-{len(self.others)}.log"
        worker = await fork(f"python -m {module}", module, [], self.settings | as_environment(settings), log)
        self.others.append(worker)
        await worker.has_logged("worker.started")
        return worker

    async def account(self, name: str) -> httpx.AsyncClient:
        """A client of another account, made by `python -m service account NAME`; use it in `async with`."""
        log = self.folder / f"account-{name}.log"
        command = await fork(f"service account {name}", "service", ["account", name], self.settings, log)
        assert await command.ended() == 0, command.output
        ALIVE.remove(command)
        return client_for(self.url, command.output.split()[-1])

    async def rows_in(self, *tables: str) -> dict[str, int]:
        """How many rows tables of schema millrace have, seen by the superuser."""
        db = await asyncpg.connect(self.database_url)
        try:
            return {table: await db.fetchval(f'select count(*) from millrace."{table}"') for table in tables}
        finally:
            await db.close()


def client_for(url: str, key: str) -> httpx.AsyncClient:
    """An HTTP client that is signed in."""
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=DEADLINE_S)


def as_environment(settings: dict[str, object]) -> dict[str, str]:
    """Settings by field name (`chunk_bytes=4096`) as environment variables."""
    return {f"MILLRACE_{name.upper()}": str(value) for name, value in settings.items()}


@asynccontextmanager
async def service(on: Servers, folder: Path, command: str = "all", **settings: object) -> AsyncIterator[Service]:
    """Start `python -m service COMMAND` on a free port and wait until it listens."""
    folder.mkdir(parents=True, exist_ok=True)
    async with on.database() as database_url, on.redis() as redis_url:
        environment = {
            "MILLRACE_DATABASE_URL": database_url,
            "MILLRACE_REDIS_URL": redis_url,
            "MILLRACE_DATA_DIR": str(folder),
            "MILLRACE_DEV_KEY": KEY,
            "MILLRACE_PORT": "0",
            "MILLRACE_LOG_FORMAT": "json",
            "MILLRACE_ENRICH": "false",  # nobody outside is to be asked
        } | as_environment(settings)
        process = await fork(f"service {command}", "service", [command], environment, folder / "service.log")
        others: list[Running] = []
        try:
            url = await eventually(lambda: _listens_at(process))
            async with client_for(url, KEY) as client:
                yield Service(environment, folder, process, url, client, others=others)
        finally:
            for child in (*others, process):
                await child.discard()


def _listens_at(process: Running) -> str:
    assert process.is_alive, f"{process.name} ended: {process.output}"
    found = re.search(r"^listening on (\S+)$", process.output, re.MULTILINE)
    return found[1] if found else ""


@asynccontextmanager
async def superuser(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection past every policy, to look or to stand in the way."""
    db = await asyncpg.connect(database_url, server_settings={"search_path": "millrace"})
    try:
        yield db
    finally:
        await db.close()


async def is_blocked(db: asyncpg.Connection, statement: str) -> bool:
    """Whether some statement that contains this text waits for a lock in the database of `db`."""
    found: bool = await db.fetchval(
        "select exists (select from pg_stat_activity where datname = current_database() "
        "and wait_event_type = 'Lock' and query like '%' || $1 || '%')",
        statement,
    )
    return found


async def post_import(client: httpx.AsyncClient, content: Content, dataset: str, **parameters: object) -> Json:
    """POST a file and its job in one, also where the same one came before; the job as answered."""
    query = {"processor": "csv", "dataset": dataset, "again": "true"} | {
        name: str(value) for name, value in parameters.items()
    }
    answer = await client.post("/v1/imports", params=query, content=content)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def settled(client: httpx.AsyncClient, job: Json, timeout_s: float = DEADLINE_S) -> Json:
    """The job once it has ended."""

    async def look() -> Json:
        shown: Json = (await client.get(job["links"]["self"])).json()
        return shown if shown["state"] in FINAL else {}

    return await eventually(look, timeout_s, pause_s=0.02)


async def imported(client: httpx.AsyncClient, content: Content, dataset: str, **parameters: object) -> Json:
    """Import a file and wait for its end, whichever it is."""
    return await settled(client, await post_import(client, content, dataset, **parameters))


async def rows_of(client: httpx.AsyncClient, dataset: str) -> list[Json]:
    """Every row of a dataset, page by page, with its lineage."""
    rows: list[Json] = []
    cursor: str | None = None
    while True:
        page = await client.get(
            f"/v1/datasets/{dataset}/rows", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})
        )
        assert page.status_code == 200, page.text
        rows += page.json()["rows"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return rows


async def numbers_of(service: Service, dataset: str) -> list[int]:
    """The numbers of a dataset's rows in order, from the database: for more than a few thousand rows."""
    async with superuser(service.database_url) as db:
        table = await db.fetchval("select table_name from dataset where name = $1", dataset)
        if await db.fetchval("select to_regclass($1)", f'datasets."{table}"') is None:
            return []  # it is made with the first rows
        found: list[int] = [row[0] for row in await db.fetch(f'select _row from datasets."{table}" order by _row')]
        return found


async def account_id_of(database_url: str, name: str = "dev") -> UUID:
    """The id of an account by name."""
    db = await asyncpg.connect(database_url)
    try:
        found: UUID = await db.fetchval("select id from millrace.account where name = $1", name)
        return found
    finally:
        await db.close()
