"""Writes how attempts end: those that end at the same time go in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import asyncpg

from service.bus import Bus
from service.store import claims
from service.store.claims import Claim, Held, LeaseLost, Settlement
from service.store.database import UNREACHABLE, Database

MOST = 100

WRITERS = 2
"""Statements on their way at a time: while the server syncs one to its disk, it works on the next."""

ENOUGH = MOST // 2
"""Ends that are worth a statement of their own while another one is under way."""

Ending = tuple[Claim, Settlement, asyncio.Future[None]]


class Settler:
    """One per worker. `freed` is called after a job has ended that others wait for."""

    def __init__(self, database: Database, bus: Bus, freed: Callable[[], None]) -> None:
        self._database = database
        self._bus = bus
        self._freed = freed
        self._endings: list[Ending] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Record one attempt's end. Raises LeaseLost, or what a database that is away raises."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._endings.append((claim, settlement, written))
        if not self._writers or (len(self._writers) < WRITERS and len(self._endings) >= ENOUGH):
            self._writers.add(asyncio.create_task(self._write_all()))
        await written

    def tell(self, ended: Sequence[Claim], settled: Mapping[Held, bool]) -> None:
        """Say that attempts have ended: to those who follow the jobs, and to the jobs that wait for them."""
        flows = {(claim.flow_id, claim.account_id) for claim in ended if claim.flow_id is not None}
        self._bus.notify(*(claim.changed for claim in ended), *flows)
        if any(settled.values()):
            self._freed()

    async def _write_all(self) -> None:
        try:
            while self._endings:
                batch, self._endings = self._endings[:MOST], self._endings[MOST:]
                await self._write(batch)
        finally:  # at once: an end that comes after this needs another one
            self._writers.remove(cast(asyncio.Task[None], asyncio.current_task()))

    async def _write(self, batch: Sequence[Ending]) -> None:
        try:
            async with self._database.connection() as db:  # one statement, and so a transaction by itself
                settled = await claims.settle(db, [(claim, settlement) for claim, settlement, _ in batch])
        except asyncpg.PostgresError as error:
            if len(batch) == 1 or isinstance(error, UNREACHABLE):
                _fail(batch, error)
            else:  # one of them does not fit; the others are not to suffer for it
                for ending in batch:
                    await self._write([ending])
            return
        except Exception as error:
            _fail(batch, error)
            return
        for claim, _, written in batch:
            if written.done():
                continue
            if claim.held in settled:
                written.set_result(None)
            else:
                written.set_exception(LeaseLost())
        self.tell([claim for claim, _, _ in batch if claim.held in settled], settled)


def _fail(batch: Sequence[Ending], error: Exception) -> None:
    for _, _, written in batch:
        if not written.done():
            written.set_exception(error)
