"""The hub of live streams: new events of a job, a flow, or all jobs of an account, are read once per process.

However many clients follow, each followed job, flow or account has one reader, which reads when it is woken over
Redis, or now and then when Redis is silent. Wake-ups that come while it reads, or right behind a read, are one wake-up.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from itertools import cycle
from typing import Generic, TypeAlias
from uuid import UUID

import structlog

from service.api.audience import TICKS, Audience, Listener, Place
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
PROMPT_S, GATHER_S = 0.005, 0.02
"""Least time from one read to the next, in which wake-ups gather: the first, and twice as long each time up to the
second while reads follow each other."""
HELD_S = 0.005
"""Least time to the next look at events that wait for an older transaction; else half as long as they wait already."""

Batches: TypeAlias = AsyncGenerator[Sequence[Event], None]


class Streams:
    """Feeds by job, flow or account, kept while somebody follows. Run `run` in a task; `close` ends every stream."""

    def __init__(self, database: Database, bus: Bus, poll_s: float, ping_s: float) -> None:
        self._database = database
        self._bus = bus
        self._poll_s = poll_s
        self.ping_s = ping_s
        self._jobs: dict[UUID, Feed[int]] = {}
        self._accounts: dict[UUID, Feed[Position]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def clients(self) -> int:
        """How many follow something."""
        return sum(feed.followers for feed in self._feeds())

    async def run(self) -> None:
        """Hear from Redis which jobs changed, and ping, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bus.listen(CHANGES, self._heard))
            group.create_task(self._ping())

    def close(self) -> None:
        """End every stream; clients reconnect, to another process if there is one."""
        self._closing = True
        for feed in self._feeds():
            feed.close()

    def of_job(self, job: Job) -> AbstractAsyncContextManager[Feed[int]]:
        """The feed of a job's events."""

        job_id, account_id = job.id, job.account_id  # all that stays of it here, once for each client

        async def fetch(db: Connection, seq: int) -> tuple[Sequence[Event], bool]:
            return await events.after(db, account_id, job_id, seq, limit=PAGE), False

        return self._feed(self._jobs, Source(job_id, _number, fetch), job.event_seq)

    def of_flow(self, flow: Flow) -> AbstractAsyncContextManager[Feed[int]]:
        """The feed of a flow's events."""

        flow_id, account_id = flow.id, flow.account_id

        async def fetch(db: Connection, seq: int) -> tuple[Sequence[Event], bool]:
            return await flows.events_after(db, account_id, flow_id, seq, limit=PAGE), False

        return self._feed(self._jobs, Source(flow_id, _number, fetch), flow.event_seq)

    def of_account(self, account_id: UUID, newest: Position) -> AbstractAsyncContextManager[Feed[Position]]:
        """The feed of an account's events. `newest` is its newest position as the caller has just read it."""

        async def fetch(db: Connection, position: Position) -> tuple[Sequence[Event], bool]:
            return await events.after_in_account(db, account_id, position, limit=PAGE)

        return self._feed(self._accounts, Source(account_id, _position, fetch), newest)

    async def follow(self, job: Job, after: int) -> Batches:
        """Batches of a job's events behind number `after`, each event once and in order, until `close`."""
        async with self.of_job(job) as feed:
            while not feed.is_closing:
                news = feed.news  # taken before the look, so that nothing falls in between
                batch = await feed.behind(after)
                if batch:
                    after = batch[-1].seq
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
            feed.is_closing = self._closing  # who comes so late is let go at once
            reader = asyncio.create_task(feed.read(self._poll_s), context=Context())  # it outlives who began it
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

    def _feeds(self) -> list[Feed[int] | Feed[Position]]:
        return [*self._jobs.values(), *self._accounts.values()]

    async def _ping(self) -> None:
        for tick in cycle(range(TICKS)):
            await asyncio.sleep(self.ping_s / TICKS)
            for feed in self._feeds():
                feed.audience.ping(tick)

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
    """Events of one job, flow or account: where each has its place, and how those behind a place are read.

    `fetch` also says whether there are more, which may not be told yet.
    """

    id: UUID
    place: Callable[[Event], Place]
    fetch: Callable[[Connection, Place], Awaitable[tuple[Sequence[Event], bool]]]


class Pace:
    """How soon one read of a feed may follow the one before."""

    def __init__(self, longest_s: float) -> None:
        self._gather_s = PROMPT_S
        self._longest_s = longest_s
        self._began = 0.0
        self._held_since: float | None = None

    def begin(self) -> float:
        """A read begins; when that is."""
        before, self._began = self._began, time.monotonic()
        is_close = self._began - before < 2 * GATHER_S
        self._gather_s = min(GATHER_S, 2 * self._gather_s) if is_close else PROMPT_S
        return self._began

    def pause_s(self, *, is_held: bool, is_new: bool) -> float:
        """Seconds from its beginning to the next: whether events must wait, and whether there were some to tell."""
        if not is_held:
            self._held_since = None
            return self._gather_s
        if is_new or self._held_since is None:
            self._held_since = self._began
        return min(self._longest_s, max(HELD_S, (self._began - self._held_since) / 2))


class Feed(Generic[Place]):
    """The latest events of a source, and a signal when there are more."""

    def __init__(self, database: Database, source: Source[Place], newest: Place) -> None:
        self.followers = 0
        self.news = asyncio.Event()
        self.is_closing = False
        self.audience: Audience[Place] = Audience(source.place)
        self._database = database
        self._source: Source[Place] = source
        self._position: Place = newest
        self._floor: Place = newest  # the tail is all there is between here and the position
        self._tail: list[Event] = []
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for new events soon."""
        self._woken.set()

    def close(self) -> None:
        """Let everybody go."""
        self.is_closing = True
        self.announce()
        self.audience.release()

    def announce(self) -> None:
        """Let those look who wait for news."""
        self.news.set()
        self.news = asyncio.Event()

    def place(self, event: Event) -> Place:
        """Where an event is in this feed."""
        return self._source.place(event)

    def join(self, listener: Listener[Place]) -> bool:
        """Let it hear what comes from now on; refused while it lacks something."""
        if listener.place < self._position or self.is_closing:
            return False
        self.audience.add(listener)
        return True

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
        pace = Pace(poll_s)
        while self.followers:
            self._woken.clear()
            is_held, before = False, self._position
            began = pace.begin()
            try:
                is_held = await self._read_new()
            except (Transient, *UNREACHABLE) as error:
                log.warning("stream.database_away", source=str(self._source.id), error=repr(error))
            pause_s = pace.pause_s(is_held=is_held, is_new=self._position != before)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s if is_held else poll_s):
                    await self._woken.wait()
            if self.followers:
                await asyncio.sleep(began + pause_s - time.monotonic())

    async def _read_new(self) -> bool:
        while True:
            batch, is_held = await self._fetch(self._position)
            if batch:
                self._keep(batch)
                self.announce()
                await self.audience.tell(batch)
            if len(batch) < PAGE:
                return is_held

    def _keep(self, batch: Sequence[Event]) -> None:
        self._tail.extend(batch)
        self._position = self._source.place(batch[-1])
        if len(self._tail) > TAIL:
            self._floor = self._source.place(self._tail[-TAIL - 1])
            del self._tail[:-TAIL]

    async def _fetch(self, place: Place) -> tuple[Sequence[Event], bool]:
        async with self._database.connection() as db:  # one statement: one round trip
            return await self._source.fetch(db, place)


def _number(event: Event) -> int:
    return event.seq


def _position(event: Event) -> Position:
    return event.position
