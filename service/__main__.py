"""`python -m service [COMMAND]`: the composition root, the only place that builds pools, clients and settings.

dev             API, worker and page in one process, with a first account and its key (the default)
all             the same without the account
api             the API alone; run `python -m workers` beside it
migrate         bring the database to the newest schema, and leave
check           say whether settings, database, Redis and storage will do
account NAME [viewer|operator [LABEL]]
                make an account if there is none of that name, and print a new key for it
keys ACCOUNT    list its keys
revoke KEY-ID   let a key open nothing any more
audit verify [ACCOUNT]
                say whether the audit is as it was written
limit queue|processor|account NAME [NUMBER]
                let at most NUMBER of its jobs run at a time on all workers together; without NUMBER, any number
weight ACCOUNT NUMBER
                give an account NUMBER turns (1-100) where others have one
quota ACCOUNT bytes|open|daily|requests [NUMBER]
                let its uploads come to NUMBER bytes, so many on their way or begun in a day, or let it make so many
                requests a second; without NUMBER, as set
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from pydantic import ValidationError

from service import admin, lifecycle, logs
from service.actions.submits import Submits
from service.actions.transfers import Transfers
from service.api.streams import Streams
from service.app import create_app
from service.bus import Bus
from service.config import Settings, explain
from service.deps import Deps
from service.dispatch import Dispatch, open_redis
from service.domain.errors import NotFound
from service.embedded import EmbeddedError
from service.files.opening import NotConfigured, open_files
from service.server import CannotStart, Server, bind, url_of
from service.store import accounts, migrations
from service.store.database import API_ROLE, WORKER_ROLE, open_database
from workers.registry import discover
from workers.work import work

COMMANDS = ("dev", "all", "api", "migrate", "check")


async def serve(settings: Settings, command: str) -> None:
    """Run the API, and in `dev` and `all` a worker beside it, until SIGINT or SIGTERM."""
    stop = lifecycle.stop_signal()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(bind(settings.host, settings.port))
        settings = await stack.enter_async_context(lifecycle.located(settings))
        await migrations.migrate(settings.database_url)
        key = await first_key(settings) if command == "dev" or settings.dev_key else ""
        redis = await stack.enter_async_context(open_redis(settings.redis_url))
        database = await stack.enter_async_context(
            open_database(
                settings.database_url, role=API_ROLE, connections=settings.api_connections, name="millrace api"
            )
        )
        files = open_files(settings)
        stack.callback(files.close)
        bus = Bus(redis)
        stack.push_async_callback(bus.close)
        dispatch = Dispatch(redis, bus)
        stack.push_async_callback(dispatch.close)
        transfers = Transfers(database)
        stack.push_async_callback(transfers.close)
        deps = Deps(settings, database, files, bus, dispatch, Submits(database), transfers, discover())
        streams = Streams(database, bus, settings.stream_poll_s, settings.stream_ping_s)

        server = Server(create_app(deps, streams), lambda: announce(url_of(bound), key if command == "dev" else ""))
        tasks = [asyncio.create_task(streams.run())]
        if command != "api":
            tasks.append(asyncio.create_task(work(settings, bus)))
        serving = asyncio.create_task(server.serve([bound]))
        try:
            await lifecycle.until(stop, *tasks)
        finally:
            streams.close()
            server.should_exit = True
            await serving


async def first_key(settings: Settings) -> str:
    """Make sure of account `dev` and its key: the configured one, or one made up once and kept among the data."""
    key = settings.dev_key or kept_key(settings.data_dir / "dev-key")
    async with (
        open_database(settings.database_url, role=WORKER_ROLE, connections=1, name="millrace setup") as database,
        database.transaction() as db,
    ):
        await accounts.ensure(db, "dev", key)
    return key


def kept_key(path: Path) -> str:
    """The key in `path`, made up if the file is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600, exist_ok=False)
        path.write_text(accounts.fresh_key())
    return path.read_text().strip()


def announce(url: str, key: str) -> None:
    """Say where it is, once it is ready, and what to try first."""
    if key:
        command = Path(sys.executable).parent / "millrace"
        print(
            f"\n  page     {url}/#key={lifecycle.quoted_key(key)}\n"
            f"  key      {key}\n"
            f"  try      MILLRACE_URL={url} MILLRACE_KEY={key} "
            f"{command} import tests/samples/csv/people.csv --dataset people --follow\n"
        )
    print(f"listening on {url}", flush=True)


async def migrate(settings: Settings) -> None:
    """Apply what is missing."""
    async with lifecycle.located(settings) as located:
        applied = await migrations.migrate(located.database_url)
    print("\n".join(applied) or "nothing to do")


async def check(settings: Settings) -> None:
    """Try everything that serving needs."""
    open_files(settings).close()
    print(f"storage ok ({settings.store_url or settings.files_dir})")
    async with lifecycle.located(settings) as located, open_redis(located.redis_url) as redis:
        applied = await migrations.migrate(located.database_url)
        print(f"database ok ({len(applied)} migrations applied)")
        await redis.ping()
        print("redis ok")


def main(arguments: list[str]) -> None:
    """Run a command; what a person can mend is said in one sentence."""
    command, *words = arguments or ["dev"]
    if command not in admin.COMMANDS and (command not in COMMANDS or words):
        sys.exit(__doc__)
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(explain(error))
    logs.configure(settings)
    os.umask(0o077)
    try:
        match command:
            case "migrate":
                asyncio.run(migrate(settings))
            case "check":
                asyncio.run(check(settings))
            case "dev" | "all" | "api":
                lifecycle.run(serve(settings, command))
            case _:
                asyncio.run(admin.run(settings, command, words))
    except (EmbeddedError, CannotStart, NotConfigured, admin.Usage, admin.Broken, NotFound) as error:
        sys.exit(str(error))
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"Cannot start: {error}. Check MILLRACE_DATABASE_URL and MILLRACE_REDIS_URL.")


if __name__ == "__main__":
    main(sys.argv[1:])
