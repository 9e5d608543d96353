"""The requests of this process that add to uploads now: one for each upload, the newest.

A client whose connection was cut comes back before the server has noticed the cut. So a newer request ends an older
one, which first makes durable what it has. Requests in other processes are told apart by `upload.writer`: whoever finds
that a newer one has taken its turn breaks off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakSet, WeakValueDictionary

import structlog

from service.domain.errors import MillraceError, StateError
from service.store import arrivals
from service.store.database import UNREACHABLE, Database

log = structlog.get_logger()

T = TypeVar("T")

LOOK_EVERY_S = 0.5
"""A request learns so late of a newer one in another process, which waits for it."""

QUIET_S = 0.2
"""A request that nothing comes for so long has all that its client sent."""

DRY_S = 1.5
"""A newer request waits no longer than this for an older one for which more keeps coming."""


class Transfers:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: dict[UUID, asyncio.Task[object]] = {}
        self._writers: dict[UUID, int] = {}
        self._waits: dict[UUID, float] = {}
        self._dropped: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._finishing: dict[UUID, asyncio.Task[Any]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._counting: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def counting(self, account_id: UUID) -> AsyncIterator[None]:
        """Around a transaction that changes what an account holds, one at a time.

        They wait for one row anyway; waiting here, a hundred uploads at once take no connection from others.
        """
        async with self._counting.setdefault(account_id, asyncio.Lock()):
            yield

    def is_writing(self, upload_id: UUID) -> bool:
        """Whether a request of this process adds to the upload now."""
        return upload_id in self._writing

    def is_dropped(self) -> bool:
        """Whether what the current request brought counts no more: a newer one brings the same bytes."""
        return asyncio.current_task() in self._dropped

    async def write(self, upload_id: UUID, work: Callable[[], Awaitable[T]], *, keeps: bool = True) -> T:
        """Do `work` once every older request for this upload has ended, as `interrupt` does.

        Raises StateError when a newer one ends it.
        """
        await self.interrupt(upload_id, keeps=keeps)
        task = asyncio.ensure_future(work())
        self._writing[upload_id] = task
        try:
            return await task
        except asyncio.CancelledError:
            asked = asyncio.current_task()
            if asked is not None and asked.cancelling():
                raise
            raise superseded() from None
        finally:
            if self._writing.get(upload_id) is task:
                del self._writing[upload_id]
                self._writers.pop(upload_id, None)
                self._waits.pop(upload_id, None)

    async def interrupt(self, upload_id: UUID, *, keeps: bool = True) -> None:
        """End the request that adds to this upload now, if there is one.

        Waits until it has recorded what came, or, unless it `keeps` that, has dropped it.
        """
        while (task := self._writing.get(upload_id)) is not None and not task.done():
            if keeps:
                await self._run_dry(upload_id, task)
            else:
                self._dropped.add(task)
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(0)  # so that its `write` takes note

    def waits(self, upload_id: UUID) -> None:
        """The current request for this upload waits for its client from now on."""
        self._waits[upload_id] = time.monotonic()

    def works(self, upload_id: UUID) -> None:
        """More has come for it, and is being written."""
        self._waits.pop(upload_id, None)

    def has_turn(self, upload_id: UUID, writer: int) -> None:
        """The current request for this upload writes under this number: look out for a higher one."""
        self._writers[upload_id] = writer
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look_out(), context=Context())

    async def finish(self, upload_id: UUID, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, once for all who ask for it meanwhile, and to its end even if they go away."""
        if (task := self._finishing.get(upload_id)) is None:
            task = asyncio.ensure_future(work())
            self._finishing[upload_id] = task
            task.add_done_callback(lambda _: self._finishing.pop(upload_id, None))
        finished: T = await asyncio.shield(task)
        return finished

    async def close(self) -> None:
        """Let what is being finished come to its end."""
        if self._watch is not None:
            self._watch.cancel()
        for task in list(self._finishing.values()):
            with suppress(Exception):
                await task

    async def _run_dry(self, upload_id: UUID, task: asyncio.Task[object]) -> None:
        """Let a request take in what its client had sent before its line broke, while more of that keeps coming."""
        give_up_at = time.monotonic() + DRY_S
        while not task.done() and (now := time.monotonic()) < give_up_at:
            if now - self._waits.get(upload_id, now) > QUIET_S:
                return
            await asyncio.wait([task], timeout=QUIET_S / 4)

    async def _look_out(self) -> None:
        while self._writers:
            await asyncio.sleep(LOOK_EVERY_S)
            ours = dict(self._writers)
            if not ours:
                return
            try:
                async with self._database.connection() as db:
                    newest = await arrivals.writers(db, list(ours))
            except (MillraceError, *UNREACHABLE) as error:
                log.warning(
                    "transfers.not_looked", error=repr(error)
                )  # the record of an offset is refused all the same
                continue
            for upload_id, writer in ours.items():
                task = self._writing.get(upload_id)
                if newest.get(upload_id) != writer == self._writers.get(upload_id) and task is not None:
                    task.cancel()


def superseded() -> StateError:
    """A newer request has taken the turn of this one."""
    return StateError(
        "superseded",
        "A newer request goes on with this upload, or has ended it.",
        suggestion="Ask for the offset and go on from there, with one request at a time.",
    )
