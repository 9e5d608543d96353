"""What `python -m service` and `python -m workers` share: the event loop, where the servers are, and when to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import uvloop

from service import embedded
from service.config import Settings


def run(main: Coroutine[None, None, None]) -> None:
    """Run a whole process, on the quicker event loop, with as many connections as the system lets it have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@asynccontextmanager
async def located(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with both server URLs set, the embedded servers running where none was given."""
    if settings.database_url and settings.redis_url:
        yield settings
        return
    async with embedded.start(
        settings.data_dir, postgres=not settings.database_url, redis=not settings.redis_url
    ) as servers:
        yield settings.model_copy(
            update={
                "database_url": settings.database_url or servers.database_url,
                "redis_url": settings.redis_url or servers.redis_url,
            }
        )


def stop_signal() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM. A second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    return stop


async def until(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Wait for the stop signal, then cancel `tasks` and wait for them. A task that fails ends the wait and raises."""
    gc.freeze()  # what has been made so far stays: looking through it for garbage held everything up for 0.1 s
    gc.set_threshold(10_000)  # what a few hundred jobs or requests are made of lives as long as they do
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


def quoted_key(key: str) -> str:
    """A key as part of a URL."""
    return quote(key, safe="")
