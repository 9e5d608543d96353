"""The hub of live streams: a job's or flow's new events are read once per process for all its clients."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from service.bus import CHANGES, Bus
from service.domain.errors import Transient
from service.domain.event import Event
from service.domain.flow import Flow
from service.domain.job import Job
from service.store import events, flows
from service.store.database import UNREACHABLE, Connection, Database

log = structlog.get_logger()

PAGE = 500
TAIL = 200


class Streams:
    """Feeds by job or flow, kept while somebody follows. Run `run` in a task; `close` ends every stream."""

    def __init__(self, database: Database, bus: Bus, poll_s: float) -> None:
        self._database = database
        self._bus = bus
        self._poll_s = poll_s
        self._feeds: dict[UUID, Feed] = {}
        self._closing = False

    async def run(self) -> None:
        """Hear from Redis which jobs changed, for ever."""
        await self._bus.listen(CHANGES, self._heard)

    def close(self) -> None:
        """End every stream; clients reconnect, to another process if there is one."""
        self._closing = True
        for feed in self._feeds.values():
            feed.wake()

    async def follow(self, job: Job, after: int) -> AsyncIterator[Sequence[Event]]:
        """Batches of events behind number `after`, each event once and in order, until `close`."""
        source = Source(job.id, job.account_id, lambda db, seq: events.after(db, job.id, seq, limit=PAGE))
        async for batch in self._follow(source, job.event_seq, after):
            yield batch

    async def follow_flow(self, flow: Flow, after: int) -> AsyncIterator[Sequence[Event]]:
        """The same for the events of a flow."""
        source = Source(flow.id, flow.account_id, lambda db, seq: flows.events_after(db, flow.id, seq, limit=PAGE))
        async for batch in self._follow(source, flow.event_seq, after):
            yield batch

    async def _follow(self, source: Source, newest: int, after: int) -> AsyncIterator[Sequence[Event]]:
        async with self._feed(source, newest) as feed:
            while not self._closing:
                news = feed.news  # taken before the look, so that nothing falls in between
                batch = await feed.behind(after)
                if batch:
                    after = batch[-1].seq
                    yield batch
                else:
                    await news.wait()

    @asynccontextmanager
    async def _feed(self, source: Source, newest: int) -> AsyncIterator[Feed]:
        feed = self._feeds.get(source.id)
        if feed is None:
            feed = self._feeds[source.id] = Feed(self._database, source, newest)
            feed.reader = asyncio.create_task(feed.read(self._poll_s))
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if feed.followers == 0:
                feed.reader.cancel()
                self._feeds.pop(source.id, None)

    def _heard(self, message: str) -> None:
        for job_id in message.split():
            if feed := self._feeds.get(UUID(job_id)):
                feed.wake()


@dataclass(frozen=True, slots=True)
class Source:
    """Numbered events of one job or flow: whose they are, and how those behind a number are read."""

    id: UUID
    account_id: UUID
    fetch: Callable[[Connection, int], Awaitable[Sequence[Event]]]


class Feed:
    """The latest events of a source, and a signal when there are more."""

    reader: asyncio.Task[None]

    def __init__(self, database: Database, source: Source, newest: int) -> None:
        self.followers = 0
        self.news = asyncio.Event()
        self._database = database
        self._source = source
        self._position = newest
        self._tail: deque[Event] = deque(maxlen=TAIL)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for new events now."""
        self._woken.set()

    async def behind(self, seq: int) -> Sequence[Event]:
        """The next events behind number `seq`: from memory where they are there, else from the database."""
        if seq >= self._position:
            return ()
        if self._tail and self._tail[0].seq <= seq + 1:
            return [event for event in self._tail if event.seq > seq]
        return await self._fetch(seq)

    async def read(self, poll_s: float) -> None:
        """Keep the tail up to date: when woken, and every `poll_s` in case a wake-up was lost."""
        while True:
            self._woken.clear()
            try:
                await self._read_new()
            except (Transient, *UNREACHABLE) as error:
                log.warning("stream.database_away", source=str(self._source.id), error=repr(error))
            self._announce()  # also without news: followers look whether the hub is closing
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_s):
                    await self._woken.wait()

    async def _read_new(self) -> None:
        while batch := await self._fetch(self._position):
            self._tail.extend(batch)
            self._position = batch[-1].seq
            self._announce()

    def _announce(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    async def _fetch(self, seq: int) -> Sequence[Event]:
        async with self._database.transaction(self._source.account_id) as db:
            return await self._source.fetch(db, seq)
