"""Commits the chunks of one attempt: rows, rejects, checkpoint, counts and event in one transaction each.

Two chunks are on their way at a time, on two connections: the database need not wait for us, nor we for the disk.
The order still holds: a chunk moves the checkpoint only after the chunk before it has been committed, and is rolled
back with it when that fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg

from service.domain.dataset import columns_from_json
from service.domain.processor import Fault, Reject
from service.store import claims, rejects, tables
from service.store.claims import Claim
from workers.frames import Frame
from workers.landing import Landing
from workers.sandbox import Sandbox
from workers.tools import Tools

DEADLINE_S = 60
"""For one chunk: asyncpg's COPY does not notice a dead server by itself."""


SUMMARIZE_CHUNKS = 32
"""After so many chunks their pages are entered into the block-range index."""


class Interrupted(Exception):
    """The user wants something else of the job; the chunk in hand is committed."""


class Committer:
    """Takes an attempt's chunks from its child into the database, in order."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self._tools = tools
        self._claim = claim
        self._landing: Landing | None = None
        self.rows = 0  # committed, or about to be
        self._unsummarized = 0
        self._started_s = time.monotonic()

    async def commit_all(self, child: Sandbox, landing: Landing) -> None:
        """Commit every chunk until the child's end. Raises LeaseLost, or what the child or the database raises."""
        try:
            async with asyncio.TaskGroup() as group:
                older: asyncio.Task[None] | None = None
                before: asyncio.Task[None] | None = None
                async for frame in child.frames():
                    if self._landing is None:
                        columns = columns_from_json(frame.fields["columns"])
                        await landing.shape(self._tools.database, columns, frame.fields["brings"])
                        self._landing = landing
                    payload = [data async for data in child.payload()] if frame.fields["inserted"] else []
                    if older is not None:
                        await older  # two chunks in flight are enough, and bound the memory
                    older, before = before, group.create_task(self._commit(landing, frame, payload, before))
        except BaseExceptionGroup as failures:
            raise first_cause(failures) from failures

    async def _commit(
        self, landing: Landing, frame: Frame, payload: list[bytes], before: asyncio.Task[None] | None
    ) -> None:
        claim, fields = self._claim, frame.fields
        columns = columns_from_json(fields["columns"])
        async with asyncio.timeout(DEADLINE_S), self._tools.database.transaction() as db:
            staged = await landing.bring(db, columns, payload, fields["inserted"])
            if before is not None:
                await before
            landed = await landing.land(db, columns, fields["brings"], staged, fields["inserted"])
            refused = [*(reject_of(r) for r in fields["rejects"]), *landed.rejects]
            await rejects.add(db, claim.job_id, claim.account_id, refused)
            control = await claims.advance(
                db,
                claim,
                cursor=fields["cursor"],
                done=fields["done"],
                read=fields["read"],
                inserted=landed.inserted,
                updated=landed.updated,
                skipped=landed.skipped,
                rejected=len(refused),
                rate=self._rate(fields["read"]),
            )
        await self._tools.bus.notify(claim.changed)
        if control is not None:
            raise Interrupted
        self._unsummarized += 1
        if self._unsummarized > SUMMARIZE_CHUNKS:
            await self.summarize()

    async def summarize(self) -> None:
        """Let the pages of rows be found quickly; only a help, so no failure of it fails the job."""
        if self._landing is not None and self._unsummarized:
            self._unsummarized = 0
            with suppress(asyncpg.PostgresError):
                async with self._tools.database.transaction() as db:
                    await tables.summarize(db, self._landing.table)

    def _rate(self, rows: int) -> float:
        """Rows per second since the attempt began, `rows` more included."""
        self.rows += rows
        return round(self.rows / max(time.monotonic() - self._started_s, 1e-3), 1)


def reject_of(fields: Mapping[str, Any]) -> Reject:
    """A reject as the child's frame holds it."""
    return Reject(**{**fields, "faults": tuple(Fault(**fault) for fault in fields["faults"])})


def first_cause(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that came first; the chunks behind it only fail along."""
    first = failures.exceptions[0]
    return first_cause(first) if isinstance(first, BaseExceptionGroup) else first
