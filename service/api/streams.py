"""The hub of live streams: new events of a job, a flow, or all jobs of an account, are read once per process.

However many clients follow, each followed job, flow or account has one reader, which reads when it is woken over
Redis, or now and then when Redis is silent. Wake-ups that come while it reads, or right behind a read, are one wake-up.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

import structlog

from service.bus import CHANGES, Bus
from service.domain.errors import Transient
from service.domain.event import Event, Position
from service.domain.flow import Flow
from service.domain.job import Job
from service.store import events, flows
from service.store.database import UNREACHABLE, Connection, Database

log = structlog.get_logger()

PAGE = 200
TAIL = 2 * PAGE
"""Latest events that a feed keeps in memory: followers may be a whole page behind its reader."""
GATHER_S = 0.02
"""Least time from one read to the next, in which wake-ups gather."""
HELD_S = 0.02
"""Pause before the next look at events that must wait for an older transaction; each further one is twice as long."""

Place = TypeVar("Place", int, Position)
Batches: TypeAlias = AsyncGenerator[Sequence[Event], None]


class Streams:
    """Feeds by job, flow or account, kept while somebody follows. Run `run` in a task; `close` ends every stream."""

    def __init__(self, database: Database, bus: Bus, poll_s: float) -> None:
        self._database = database
        self._bus = bus
        self._poll_s = poll_s
        self._jobs: dict[UUID, Feed[int]] = {}
        self._accounts: dict[UUID, Feed[Position]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def clients(self) -> int:
        """How many follow something."""
        return sum(feed.followers for feeds in (self._jobs, self._accounts) for feed in feeds.values())

    async def run(self) -> None:
        """Hear from Redis which jobs changed, for ever."""
        await self._bus.listen(CHANGES, self._heard)

    def close(self) -> None:
        """End every stream; clients reconnect, to another process if there is one."""
        self._closing = True
        for job in self._jobs.values():
            job.announce()
        for account in self._accounts.values():
            account.announce()

    def follow(self, job: Job, after: int) -> Batches:
        """Batches of a job's events behind number `after`, each event once and in order, until `close`."""

        async def fetch(db: Connection, seq: int) -> tuple[Sequence[Event], bool]:
            return await events.after(db, job.id, seq, limit=PAGE), False

        source = Source(job.id, job.account_id, lambda event: event.seq, fetch)
        return self._follow(self._jobs, source, job.event_seq, after)

    def follow_flow(self, flow: Flow, after: int) -> Batches:
        """The same for the events of a flow."""

        async def fetch(db: Connection, seq: int) -> tuple[Sequence[Event], bool]:
            return await flows.events_after(db, flow.id, seq, limit=PAGE), False

        source = Source(flow.id, flow.account_id, lambda event: event.seq, fetch)
        return self._follow(self._jobs, source, flow.event_seq, after)

    def follow_account(self, account_id: UUID, newest: Position, after: Position) -> Batches:
        """Batches of an account's events behind `after`, each event once and in order, until `close`.

        `newest` is the account's newest position as the caller has just read it.
        """

        async def fetch(db: Connection, position: Position) -> tuple[Sequence[Event], bool]:
            return await events.after_in_account(db, account_id, position, limit=PAGE)

        source = Source(account_id, account_id, lambda event: event.position, fetch)
        return self._follow(self._accounts, source, newest, after)

    async def _follow(
        self, feeds: dict[UUID, Feed[Place]], source: Source[Place], newest: Place, after: Place
    ) -> Batches:
        async with self._feed(feeds, source, newest) as feed:
            while not self._closing:
                news = feed.news  # taken before the look, so that nothing falls in between
                batch = await feed.behind(after)
                if batch:
                    after = source.place(batch[-1])
                    yield batch
                else:
                    await news.wait()

    @asynccontextmanager
    async def _feed(
        self, feeds: dict[UUID, Feed[Place]], source: Source[Place], newest: Place
    ) -> AsyncIterator[Feed[Place]]:
        feed = feeds.get(source.id)
        if feed is None:
            feed = feeds[source.id] = Feed(self._database, source, newest)
            reader = asyncio.create_task(feed.read(self._poll_s))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if feed.followers == 0:
                feeds.pop(source.id, None)
                feed.wake()  # its reader ends in order: cancelled in a read it would take a connection with it

    def _heard(self, message: str) -> None:
        if not (self._jobs or self._accounts):  # nobody follows anything: not worth reading
            return
        for changed in message.split(","):
            job_id, account_id = map(UUID, changed.split())
            if job := self._jobs.get(job_id):
                job.wake()
            if account := self._accounts.get(account_id):
                account.wake()


@dataclass(frozen=True, slots=True)
class Source(Generic[Place]):
    """Events of one job or account: whose they are, where each has its place, and how those behind a place are read.

    `fetch` also says whether there are more, which may not be told yet.
    """

    id: UUID
    account_id: UUID
    place: Callable[[Event], Place]
    fetch: Callable[[Connection, Place], Awaitable[tuple[Sequence[Event], bool]]]


class Feed(Generic[Place]):
    """The latest events of a source, and a signal when there are more."""

    def __init__(self, database: Database, source: Source[Place], newest: Place) -> None:
        self.followers = 0
        self.news = asyncio.Event()
        self._database = database
        self._source: Source[Place] = source
        self._position: Place = newest
        self._floor: Place = newest  # the tail is all there is between here and the position
        self._tail: list[Event] = []
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for new events soon."""
        self._woken.set()

    def announce(self) -> None:
        """Let the followers look."""
        self.news.set()
        self.news = asyncio.Event()

    async def behind(self, place: Place) -> Sequence[Event]:
        """The next events behind `place`: from memory where they are there, else from the database."""
        if place >= self._position:
            return ()
        if place >= self._floor:
            return self._tail[bisect_right(self._tail, place, key=self._source.place) :]
        found, _ = await self._fetch(place)
        return found

    async def read(self, poll_s: float) -> None:
        """Keep the tail up to date while somebody follows: when woken, and every `poll_s` if a wake-up was lost."""
        held_s = HELD_S
        while self.followers:
            self._woken.clear()
            began, is_held = time.monotonic(), False
            try:
                is_held = await self._read_new()
            except (Transient, *UNREACHABLE) as error:
                log.warning("stream.database_away", source=str(self._source.id), error=repr(error))
            held_s = min(poll_s, held_s * 2) if is_held else HELD_S
            with suppress(TimeoutError):
                async with asyncio.timeout(held_s if is_held else poll_s):
                    await self._woken.wait()
            if self.followers:
                await asyncio.sleep(began + GATHER_S - time.monotonic())

    async def _read_new(self) -> bool:
        while True:
            batch, is_held = await self._fetch(self._position)
            if batch:
                self._keep(batch)
                self.announce()
            if len(batch) < PAGE:
                return is_held

    def _keep(self, batch: Sequence[Event]) -> None:
        self._tail.extend(batch)
        self._position = self._source.place(batch[-1])
        if len(self._tail) > TAIL:
            self._floor = self._source.place(self._tail[-TAIL - 1])
            del self._tail[:-TAIL]

    async def _fetch(self, place: Place) -> tuple[Sequence[Event], bool]:
        async with self._database.transaction(self._source.account_id) as db:
            return await self._source.fetch(db, place)
