"""PostgreSQL and a Redis-protocol server from PyPI wheels, as supervised children of this process.

For a machine that has only Python. They listen on unix sockets only, keep their data below one directory, are restarted
when they die and end with us. Real servers by URL are the same code path for everyone else.
"""

import asyncio
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.embedded.errors import EmbeddedError, unusable

if TYPE_CHECKING:
    from service.embedded.child import Child

__all__ = ["EmbeddedError", "Servers", "start"]

POSTGRES_SOCKET = Path("postgres", ".s.PGSQL.5432")
REDIS_SOCKET = Path("redis", "redis.sock")
SOCKET_PATH_BYTES = 103  # macOS; Linux allows 107
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # arq takes a URL's path as it stands, redis-py decodes it


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the running servers are; the URL of one not asked for is empty."""

    database_url: str
    redis_url: str
    postgres_bin: Path


@asynccontextmanager
async def start(data_dir: Path, *, postgres: bool = True, redis: bool = True) -> AsyncIterator[Servers]:
    """Run the servers asked for, ready to use, until the block ends. Raises EmbeddedError."""
    if sys.platform == "win32":
        raise EmbeddedError(
            "The embedded servers do not run on Windows: use WSL, or set MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL."
        )
    data_dir = data_dir.resolve()
    async with AsyncExitStack() as stack:
        try:
            servers = await _start(stack, data_dir, postgres, redis)
        except OSError as error:
            raise unusable(data_dir, error) from error
        yield servers


async def _start(stack: AsyncExitStack, data_dir: Path, with_postgres: bool, with_redis: bool) -> Servers:
    # why here: they need fcntl and pwd, which Windows lacks
    from service.embedded import lock, postgres, redis

    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_fd = await stack.enter_async_context(lock.locked(data_dir))
    sockets = _socket_folder(data_dir)
    if sockets != data_dir:
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
    children: list[Child] = []
    keepers: list[asyncio.Task[None]] = []
    stack.push_async_callback(_stop, children, keepers)
    if with_postgres:
        children.append(await postgres.child(data_dir, sockets / POSTGRES_SOCKET, lock_fd))
    if with_redis:
        children.append(redis.child(data_dir, sockets / REDIS_SOCKET, lock_fd))
    for child in children:
        await child.start()
        keepers.append(asyncio.create_task(child.keep(), name=f"embedded {child.name}"))
    return Servers(
        database_url=postgres.url(sockets / POSTGRES_SOCKET) if with_postgres else "",
        redis_url=f"unix://{sockets / REDIS_SOCKET}" if with_redis else "",
        postgres_bin=postgres.binaries() if with_postgres else Path(),
    )


async def _stop(children: Sequence["Child"], keepers: Sequence[asyncio.Task[None]]) -> None:
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)
    await asyncio.gather(*(child.stop() for child in children))


def _socket_folder(data_dir: Path) -> Path:
    """The data directory, or a private folder with a short name where its path does not do for a socket."""
    if _does_for_sockets(data_dir):
        return data_dir
    name = f"millrace-{os.geteuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    roots = (tempfile.gettempdir(), "/tmp")  # noqa: S108  made private and checked below
    short = next(path for root in roots if _does_for_sockets(path := Path(root, name)))
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedError(f"{short} is not ours: remove it, or set MILLRACE_DATA_DIR to a shorter, plain path.")
    for socket in (POSTGRES_SOCKET, REDIS_SOCKET):
        (short / socket).parent.mkdir(mode=0o700, exist_ok=True)
    return short


def _does_for_sockets(folder: Path) -> bool:
    longest = str(folder / POSTGRES_SOCKET)
    return len(longest) <= SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(longest) is not None
