"""One worker: its connections, its engine, a ticket reader per queue. In a process of its own or in the API's."""

from __future__ import annotations

import asyncio

import httpx

from service.bus import CONTROLS, Bus
from service.config import Settings
from service.dispatch import Dispatch, open_redis
from service.domain.processor import PREVIEWS
from service.files.opening import open_files
from service.store.database import WORKER_ROLE, open_database
from workers.clients.youtube import YouTube
from workers.duties import DUTIES
from workers.engine import Engine
from workers.registry import discover
from workers.sandbox import Sandboxes
from workers.settler import Settler
from workers.tickets import read_tickets
from workers.tools import Tools, worker_name

CONNECTIONS_A_CHILD = 2
"""One chunk is copied while the one before it is committed."""

SPARE_CONNECTIONS = 5
"""For heartbeat, sweep, claim and two settles. A duty has its own, so that a slow one delays none of these."""


async def work(settings: Settings, bus: Bus | None = None) -> None:
    """Take and run jobs until cancelled. The database must be migrated. `bus` is that of an API in this process."""
    processors = discover()
    queues = sorted({processor.queue for processor in processors.values()} | {PREVIEWS})
    async with (
        open_database(
            settings.database_url,
            role=WORKER_ROLE,
            connections=CONNECTIONS_A_CHILD * settings.children * settings.worker_slots
            + settings.worker_slots  # previews that match rows by key
            + SPARE_CONNECTIONS
            + len(DUTIES),
            name=worker_name(),
        ) as database,
        open_redis(settings.redis_url) as redis,
        Sandboxes(settings) as sandboxes,
        httpx.AsyncClient(trust_env=False, follow_redirects=False) as client,
    ):
        files = open_files(settings)
        bus = bus or Bus(redis)
        freed = asyncio.Event()
        dispatch = Dispatch(redis, bus)
        settler = Settler(database, bus, freed.set)
        youtube = YouTube(
            client, settings.youtube_key, settings.youtube_url, settings.oembed_url, settings.youtube_rate
        )
        tools = Tools(settings, database, files, bus, dispatch, sandboxes, settler, processors, youtube)
        engine = Engine(tools, queues, freed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(engine.run())
                group.create_task(bus.listen(CONTROLS, engine.hear))
                for queue in queues:
                    group.create_task(read_tickets(redis, bus, queue, engine))
        finally:
            files.close()
            await bus.close()
