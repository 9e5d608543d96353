"""The embedded servers start, keep their data, come back, and end with us, whatever happens."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from arq.connections import RedisSettings, create_pool
from redis.asyncio import from_url
from redis.exceptions import RedisError

from service import embedded
from service.embedded import child as child_module
from service.embedded.child import bound

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0
RUN = """
import asyncio, json, sys
from dataclasses import asdict
from pathlib import Path
from service import embedded

async def main():
    try:
        async with embedded.start(Path(sys.argv[1])) as servers:
            print(json.dumps(asdict(servers), default=str), flush=True)
            await asyncio.to_thread(sys.stdin.read)
    except embedded.EmbeddedError as error:
        print(json.dumps({"error": str(error)}), flush=True)

asyncio.run(main())
"""


class Helper:
    """Another Python process that runs the servers until its input closes or it is killed."""

    def __init__(self, data_dir: Path, python: str = sys.executable, **options: Any) -> None:
        self.process = subprocess.Popen(
            [python, "-c", RUN, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            **options,
        )
        assert self.process.stdout is not None
        self.told = json.loads(self.process.stdout.readline())
        self.servers = psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        self.process.communicate("", timeout=DEADLINE_S)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path: pytest's own can be longer than a socket's may be."""
    folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


def has_ended(process: psutil.Process) -> bool:
    """A zombie has ended too; when it is collected is up to whoever adopted it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def python_for(user: dict[str, Any]) -> str:
    """An interpreter of this version that another user may run: ours may lie in root's home."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            subprocess.run([python, "-c", f"open({str(ROOT / 'pyproject.toml')!r})"], check=True, cwd="/", **user)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"no {name} and checkout that an ordinary user may read")


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110  other processes set no Event of ours
            await asyncio.sleep(0.01)


async def add_row(servers: embedded.Servers) -> int:
    """Insert one row and one Redis count; both stores must agree on how many there are."""
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("create table if not exists seen (n int)")
    await connection.execute("insert into seen values (1)")
    rows: int = await connection.fetchval("select count(*) from seen")
    await connection.close()
    client = from_url(servers.redis_url)
    assert await client.incr("seen") == rows
    await client.aclose()
    return rows


async def has_been_collected(pid: int) -> bool:
    return not psutil.pid_exists(pid)


async def both_answer(servers: embedded.Servers) -> bool:
    client = from_url(servers.redis_url)
    try:
        connection = await asyncpg.connect(servers.database_url)
        await connection.close()
        return bool(await client.ping())
    except (OSError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    finally:
        await client.aclose()


async def pid_of_postgres(servers: embedded.Servers) -> int:
    socket_folder = servers.redis_url.removeprefix("unix://").removesuffix("/redis/redis.sock")
    return int(Path(socket_folder, "postgres/data/postmaster.pid").read_text().split()[0])


async def pid_of_redis(servers: embedded.Servers) -> int:
    client = from_url(servers.redis_url)
    try:
        return int((await client.info("server"))["process_id"])
    finally:
        await client.aclose()


async def test_the_first_start_takes_seconds_and_a_second_one_keeps_the_data(data_dir: Path) -> None:
    started = time.monotonic()
    async with embedded.start(data_dir) as servers:
        assert time.monotonic() - started < 10
        assert await add_row(servers) == 1
    async with embedded.start(data_dir) as servers:
        assert await add_row(servers) == 2


async def test_both_urls_work_for_every_client_that_is_given_them(data_dir: Path) -> None:
    async with embedded.start(data_dir) as servers:
        psql = await asyncio.create_subprocess_exec(
            servers.postgres_bin / "psql",
            "-XAtc",
            "select current_user, current_database()",
            servers.database_url,
            stdout=subprocess.PIPE,
            env={"PGPORT": "1"},
        )
        assert (await psql.communicate())[0] == b"millrace|millrace\n"
        pool = await create_pool(RedisSettings.from_dsn(servers.redis_url))
        assert await pool.ping()
        await pool.aclose()


async def test_a_server_not_asked_for_is_not_started(data_dir: Path) -> None:
    async with embedded.start(data_dir, postgres=False) as servers:
        assert servers.database_url == ""
        assert not (data_dir / "postgres").exists()
    async with embedded.start(data_dir, redis=False) as servers:
        assert servers.redis_url == ""
        assert await asyncpg.connect(servers.database_url)


async def test_a_killed_run_leaves_no_process_and_nothing_that_stops_the_next(data_dir: Path) -> None:
    helper = await asyncio.to_thread(Helper, data_dir)
    assert await add_row(embedded.Servers(**helper.told)) == 1
    assert len(helper.servers) > 2
    helper.process.kill()
    async with embedded.start(data_dir) as servers:
        assert await add_row(servers) == 2
        assert all(has_ended(server) for server in helper.servers)
    helper.process.wait()


async def test_everything_ends_with_an_orderly_run(data_dir: Path) -> None:
    helper = await asyncio.to_thread(Helper, data_dir)
    await asyncio.to_thread(helper.end)
    assert helper.servers
    assert all(has_ended(server) for server in helper.servers)


async def test_killing_every_process_at_once_loses_no_committed_row(data_dir: Path) -> None:
    helper = await asyncio.to_thread(Helper, data_dir)
    assert await add_row(embedded.Servers(**helper.told)) == 1
    os.kill(helper.process.pid, signal.SIGKILL)
    for server in helper.servers:
        try:
            server.kill()
        except psutil.NoSuchProcess:
            continue
    helper.process.wait()
    async with embedded.start(data_dir, redis=False) as servers:
        connection = await asyncpg.connect(servers.database_url)
        assert await connection.fetchval("select count(*) from seen") == 1
        await connection.close()


@pytest.mark.parametrize("pid_of", [pid_of_postgres, pid_of_redis])
async def test_a_killed_server_comes_back(data_dir: Path, pid_of: Callable[[embedded.Servers], Awaitable[int]]) -> None:
    async with embedded.start(data_dir) as servers:
        await add_row(servers)
        for _ in range(2):
            before = await pid_of(servers)
            os.kill(before, signal.SIGKILL)
            await eventually(lambda pid=before: has_been_collected(pid))
            await eventually(lambda: both_answer(servers))
            assert await pid_of(servers) != before


@pytest.mark.parametrize("name", ["n" * 150, "with space, comma and ü"])
async def test_a_path_that_does_for_no_socket_gets_a_private_short_one(data_dir: Path, name: str) -> None:
    async with embedded.start(data_dir / name) as servers:
        assert await add_row(servers) == 1
        sockets = Path(servers.redis_url.removeprefix("unix://")).parents[1]
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


async def test_an_unusable_data_directory_is_one_sentence(data_dir: Path) -> None:
    data_dir.parent.joinpath("file").write_text("")
    with pytest.raises(embedded.EmbeddedError, match=r"Cannot use the data directory .*MILLRACE_DATA_DIR"):
        async with embedded.start(data_dir.parent / "file" / "data"):
            pass


async def test_two_runs_on_one_directory_are_told_apart(data_dir: Path) -> None:
    async with embedded.start(data_dir) as servers:
        second = await asyncio.to_thread(Helper, data_dir)
        assert f"Another Millrace (process {os.getpid()}) uses the data directory" in second.told["error"]
        with pytest.raises(embedded.EmbeddedError, match="Another Millrace"):
            async with embedded.start(data_dir):
                pass
        assert await add_row(servers) == 1


async def test_a_lock_file_whose_process_id_was_taken_by_another_program_is_no_hindrance(data_dir: Path) -> None:
    async with embedded.start(data_dir) as servers:
        stale = (data_dir / "postgres/data/postmaster.pid").read_text().splitlines()
    stale[0] = str(os.getppid())
    (data_dir / "postgres/data/postmaster.pid").write_text("\n".join(stale) + "\n")
    (data_dir / "postgres/.s.PGSQL.5432.lock").write_text("\n".join(stale) + "\n")
    async with embedded.start(data_dir) as servers:
        assert await add_row(servers) == 1


async def test_a_cluster_half_made_is_made_anew(data_dir: Path) -> None:
    (data_dir / "postgres/data.new").mkdir(parents=True)
    (data_dir / "postgres/data.new/PG_VERSION").write_text("18\n")
    async with embedded.start(data_dir) as servers:
        assert await add_row(servers) == 1


async def test_data_of_another_postgres_version_is_one_sentence(data_dir: Path) -> None:
    (data_dir / "postgres/data").mkdir(parents=True)
    (data_dir / "postgres/data/PG_VERSION").write_text("12\n")
    with pytest.raises(embedded.EmbeddedError, match="was written by PostgreSQL 12"):
        async with embedded.start(data_dir):
            pass


async def test_a_server_that_refuses_to_start_says_why_in_the_error(data_dir: Path) -> None:
    async with embedded.start(data_dir):
        pass
    (data_dir / "postgres/data/postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(embedded.EmbeddedError, match=r"did not start \(.*MILLRACE_DATABASE_URL"):
        async with embedded.start(data_dir):
            pass


async def test_a_platform_without_wheels_is_told_what_to_set(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(embedded.EmbeddedError, match=r"No embedded PostgreSQL wheel .* set MILLRACE_DATABASE_URL"):
        async with embedded.start(data_dir):
            pass
    with pytest.raises(embedded.EmbeddedError, match=r"No embedded Redis server .* set MILLRACE_REDIS_URL"):
        async with embedded.start(data_dir, postgres=False):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("name", ["a uid without a name", "a user with a name"])
async def test_it_runs_as_an_ordinary_user(data_dir: Path, name: str) -> None:
    uid = 12345 if name == "a uid without a name" else 65534
    data_dir.parent.chmod(0o755)
    data_dir.mkdir()
    os.chown(data_dir, uid, uid)
    user: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": []}
    python = python_for(user)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("platlib")])}
    helper = await asyncio.to_thread(Helper, data_dir, python, **user, env=environment)
    assert "database_url" in helper.told, helper.told
    await asyncio.to_thread(helper.end)
    assert all(has_ended(server) for server in helper.servers)


def test_a_log_is_held_to_a_size(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT_BYTES", 10)
    data_dir.mkdir()
    log = data_dir / "redis.log"
    with log.open("a") as writer:
        writer.write("eleven bytes")
        writer.flush()
        bound(log)
        writer.write("more")
    assert log.read_text() == "more"
    assert (data_dir / "redis.log.1").read_text() == "eleven bytes"
