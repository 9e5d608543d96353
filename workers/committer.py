"""Commits the chunks of one attempt: rows, rejects, checkpoint, counts and event in one transaction each.

Two chunks are on their way at a time, on two connections: the database need not wait for us, nor we for the disk.
The order still holds: a chunk moves the checkpoint only after the chunk before it has been committed, and is rolled
back with it when that fails. That goes for a whole file as for one of its ranges.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from service.domain.dataset import columns_from_json
from service.domain.job import Control
from service.domain.tolerance import Tolerance
from service.store import claims, ranges, rejects, tables
from service.store.claims import Claim
from service.store.database import Connection
from service.store.ranges import Range
from workers.enclosures import Enclosures, Taken
from workers.frames import Frame, reject_of
from workers.landing import Landing
from workers.pieces import Payload
from workers.sandbox import Sandbox
from workers.tools import Tools

DEADLINE_S = 60
"""For one chunk: asyncpg's COPY does not notice a dead server by itself."""


SUMMARIZE_CHUNKS = 64
"""After so many chunks their pages are entered into the block-range index, which reads them all again.

Whoever looks at rows before that reads the pages that are not entered: 256 MiB at most.
"""


class Interrupted(Exception):
    """The user wants something else of the job; the chunk in hand is committed."""


class Divided(Exception):
    """What is left of the file is to be read in ranges; the chunk in hand is committed."""


@dataclass(slots=True)
class Pace:
    """How fast one attempt goes. `rows` are those that this worker has committed, or is about to."""

    rows: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def rate(self) -> float:
        """Rows per second since the attempt began."""
        return round(self.rows / max(time.monotonic() - self.started_s, 1e-3), 1)


class Committer:
    """Takes the chunks of a file, or of a range that was taken of it, from a child into the database, in order."""

    def __init__(self, tools: Tools, claim: Claim, pace: Pace, taken: Range | None = None) -> None:
        self._tools = tools
        self._claim = claim
        self._pace = pace
        self._taken = taken
        self._landing: Landing | None = None
        self._tolerance = Tolerance.of(claim.options)
        self._has_told = taken is not None  # what the file calls its columns
        self._enclosed = Enclosures(tools, claim)
        self._unsummarized = 0
        self.divide_before = 0
        """Where `Divided` may still be raised, in the processor's units: when the chunk in hand ends before."""

    async def commit_all(self, child: Sandbox, landing: Landing) -> None:
        """Commit every chunk until the child's end. Raises LeaseLost, or what the child or the database raises."""
        try:
            async with asyncio.TaskGroup() as group:
                older: asyncio.Task[None] | None = None
                before: asyncio.Task[None] | None = None
                async for frame in child.frames():
                    if frame.kind == "enclosed":
                        await self._enclosed.take(frame, child)
                        continue
                    if self._landing is None:
                        if self._taken is None:  # whoever has divided the file has made the table ready
                            columns = columns_from_json(frame.fields["columns"])
                            await landing.shape(self._tools.database, columns, frame.fields["brings"])
                        self._landing = landing
                    payload = await child.payload(frame)
                    if older is not None:
                        await older  # two chunks in flight are enough, and bound the memory
                    committing = self._commit(landing, frame, payload, before, self._enclosed.taken())
                    older, before = before, group.create_task(committing)
        except BaseExceptionGroup as failures:
            raise first_cause(failures) from failures

    async def _commit(
        self, landing: Landing, frame: Frame, payload: Payload, before: asyncio.Task[None] | None, files: list[Taken]
    ) -> None:
        claim, fields = self._claim, frame.fields
        columns = columns_from_json(fields["columns"])
        async with asyncio.timeout(DEADLINE_S), self._tools.database.transaction() as db:
            try:
                staged = await landing.bring(db, columns, payload.over(db), fields["inserted"])
            finally:
                payload.free()
            if before is not None:
                await before
            landed = await landing.land(db, columns, fields["brings"], staged, fields["inserted"])
            await self._enclosed.attach(db, files)
            refused = [*(reject_of(r) for r in fields["rejects"]), *landed.rejects]
            await rejects.add(db, claim.job_id, claim.account_id, refused)
            if fields["header"] and not self._has_told:
                self._has_told = True
                await rejects.tell_header(db, claim.job_id, claim.account_id, fields["header"])
            counts = (fields["read"], landed.inserted, landed.updated, landed.skipped, len(refused))
            control = await self._advance(db, fields, counts)
            if fields["remarks"]:
                await claims.remark(db, claim, fields["remarks"])
            divided = fields["done"] < self.divide_before and await self._is_to_be_divided(db)
            limited = refused and self._tolerance != Tolerance()
            counted = await claims.rows_so_far(db, claim) if limited else None
        self._tools.bus.notify(claim.changed)
        if control is not None:
            raise Interrupted
        if counted is not None:
            self._tolerance.check(*counted)
        if divided:
            raise Divided
        self._unsummarized += 1
        if self._unsummarized > SUMMARIZE_CHUNKS:
            await self.summarize()

    async def _advance(self, db: Connection, fields: Mapping[str, Any], counts: tuple[int, ...]) -> Control | None:
        """Move the checkpoint of the job, or that of the range. Raises LeaseLost, RangeLost."""
        self._pace.rows += fields["read"]
        if self._taken is not None:
            stepped, self._taken = fields["done"] - self._taken.done, replace(self._taken, done=fields["done"])
            return await ranges.advance(
                db, self._claim, self._taken, cursor=fields["cursor"], stepped=stepped, counts=counts
            )
        read, inserted, updated, skipped, rejected = counts
        return await claims.advance(
            db,
            self._claim,
            cursor=fields["cursor"],
            done=fields["done"],
            read=read,
            inserted=inserted,
            updated=updated,
            skipped=skipped,
            rejected=rejected,
            rate=self._pace.rate(),
        )

    async def _is_to_be_divided(self, db: Connection) -> bool:
        """Whether others would read this file too: children of ours, or another worker."""
        return self._tools.settings.children > 1 or await ranges.is_wanted(db, self._claim.job_id)

    async def summarize(self) -> None:
        """Let the pages of rows be found quickly; only a help, so no failure of it fails the job."""
        if self._landing is not None and self._unsummarized:
            self._unsummarized = 0
            with suppress(asyncpg.PostgresError):
                async with self._tools.database.connection() as db:
                    await tables.summarize(db, self._landing.table)


def first_cause(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that came first; the chunks behind it only fail along."""
    first = failures.exceptions[0]
    return first_cause(first) if isinstance(first, BaseExceptionGroup) else first
