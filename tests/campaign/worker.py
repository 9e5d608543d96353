"""A worker's moves, one at a time: the functions that the engine and its runner call, and nothing of their own."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg

from service.domain.chunk import Column, ColumnType, Reject
from service.domain.errors import InputError, Transient
from service.domain.job import Control
from service.store import claims, rejects, tables
from service.store.claims import Claim, LeaseLost, Settlement
from tests.campaign.model import Hand
from workers import outcome, runner
from workers.maintenance import promote, rescue
from workers.tools import Tools

COLUMNS = (Column("id", ColumnType.BIGINT),)
LEASE_S = 3600.0
BACK_OFF_S = 3600.0
QUEUE = "cpu"


class Worker:
    """The moves of a worker, by the functions that the engine and its runner use. The only place that calls them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._claims: dict[tuple[UUID, int], Claim] = {}
        self._read: dict[tuple[UUID, int], int] = {}
        self._seen: dict[tuple[UUID, int], Settlement] = {}

    async def claim(self) -> Hand | None:
        """Take the next job."""
        async with self._tools.database.transaction() as db:
            claimed = await claims.claim(db, QUEUE, "campaign:1", lease_s=LEASE_S)
        if not claimed:
            return None
        claim = claimed[0]
        self._claims[claim.job_id, claim.epoch] = claim
        return Hand(claim.job_id, claim.epoch, claim.read)

    def must_restart(self, hand: Hand) -> bool:
        """Whether its user wants the job from the start, and that is still to be done."""
        return self._claims[hand.job, hand.epoch].control is Control.RESTART

    async def restart(self, hand: Hand) -> str:
        """Take back what earlier attempts stored."""
        try:
            self._claims[hand.job, hand.epoch] = await runner.restart(self._tools, self._claims[hand.job, hand.epoch])
        except LeaseLost:
            return "lost"
        return "restarted"

    async def commit(self, hand: Hand, rows: int, rejected: int) -> str:
        """Commit a chunk, as the committer does."""
        claim, before = self._claims[hand.job, hand.epoch], self._read.get((hand.job, hand.epoch))
        read = (claim.read if before is None else before) + 1
        refused = [Reject(read + rows + n, 1, "id", "not_a_bigint", "no", "mend it", "x") for n in range(rejected)]
        assert claim.table_name is not None
        try:
            async with self._tools.database.transaction() as db:
                await tables.copy_rows(db, claim.table_name, COLUMNS, _rows(claim.job_id, range(read, read + rows)))
                await rejects.add(db, claim.job_id, claim.account_id, refused)
                control = await claims.advance(
                    db,
                    claim,
                    cursor={"row": read + rows + rejected - 1},
                    done=0,
                    read=rows + rejected,
                    inserted=rows,
                    rejected=rejected,
                    rate=None,
                )
        except LeaseLost:
            return "lost"
        except asyncpg.UniqueViolationError:  # a successor has stored these rejects; as in the runner, settling tells
            if await self.look(hand) != "lost":
                raise
            return "lost"
        self._read[hand.job, hand.epoch] = read + rows + rejected - 1
        return str(control)

    async def beat(self, hand: Hand) -> str:
        """Prolong the lease."""
        key = (hand.job, hand.epoch)
        async with self._tools.database.connection() as db:
            ours = await claims.extend_leases(db, [key], LEASE_S)
        return str(ours[key]) if key in ours else "lost"

    async def look(self, hand: Hand) -> str:
        """Ask what becomes of an interrupted attempt; `settle` acts on that, however much later."""
        try:
            self._seen[hand.job, hand.epoch] = await runner.wished(self._tools, self._claims[hand.job, hand.epoch])
        except LeaseLost:
            return "lost"
        return "looked"

    async def settle(self, hand: Hand, how: str) -> str:
        """End the attempt."""
        claim = self._claims[hand.job, hand.epoch]
        if how == "stop" and (hand.job, hand.epoch) not in self._seen and await self.look(hand) == "lost":
            return "lost"
        try:
            return str((await runner.record(self._tools, claim, self._settlement(hand, claim, how))).state)
        except LeaseLost:
            return "lost"

    async def rescue(self) -> None:
        """Take jobs from silent workers."""
        await rescue.run_once(self._tools.database, self._tools.bus)

    async def promote(self) -> None:
        """Queue what is due."""
        await promote.run_once(self._tools.database, self._tools.bus)

    def _settlement(self, hand: Hand, claim: Claim, how: str) -> Settlement:
        match how:
            case "complete":
                return outcome.DONE
            case "fail":
                return outcome.of(InputError("file_damaged", "It is damaged."), claim.attempt, claim.retry)
            case "stumble":
                error = Transient("busy", "Not now.", retry_after_s=BACK_OFF_S)
                return outcome.of(error, claim.attempt, claim.retry)
            case _:
                return self._seen[hand.job, hand.epoch]


async def _rows(job_id: UUID, numbers: range) -> AsyncIterator[bytes]:
    """Rows in PostgreSQL's binary COPY format."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for number in numbers:
        yield struct.pack("!hiqi16siq", 3, 8, number, 16, job_id.bytes, 8, number)
    yield struct.pack("!h", -1)
