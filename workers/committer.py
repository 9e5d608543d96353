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
from service.domain.errors import Transient
from service.domain.processor import Column, Fault, Reject
from service.store import claims, datasets, rejects
from service.store.claims import Claim
from workers import landing
from workers.frames import Frame
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
        self._table = claim.table_name if claim.columns else None
        self.rows = 0  # committed, or about to be
        self._unsummarized = 0
        self._started_s = time.monotonic()

    async def commit_all(self, child: Sandbox) -> None:
        """Commit every chunk until the child's end. Raises LeaseLost, or what the child or the database raises."""
        try:
            async with asyncio.TaskGroup() as group:
                older: asyncio.Task[None] | None = None
                before: asyncio.Task[None] | None = None
                async for frame in child.frames():
                    if self._table is None:
                        self._table = await self._shape(columns_from_json(frame.fields["columns"]))
                    payload = [data async for data in child.payload()] if frame.fields["inserted"] else []
                    if older is not None:
                        await older  # two chunks in flight are enough, and bound the memory
                    older, before = before, group.create_task(self._commit(self._table, frame, payload, before))
        except BaseExceptionGroup as failures:
            raise first_cause(failures) from failures

    async def _commit(self, table: str, frame: Frame, payload: list[bytes], before: asyncio.Task[None] | None) -> None:
        claim, fields = self._claim, frame.fields
        columns = columns_from_json(fields["columns"])
        async with asyncio.timeout(DEADLINE_S), self._tools.database.transaction() as db:
            landed = await landing.land(db, claim, table, columns, payload, fields["inserted"])
            await rejects.add(db, claim.job_id, claim.account_id, [reject_of(r) for r in fields["rejects"]])
            if before is not None:
                await before
            control = await claims.advance(
                db,
                claim,
                cursor=fields["cursor"],
                done=fields["done"],
                read=fields["read"],
                inserted=landed.inserted,
                updated=landed.updated,
                skipped=landed.skipped,
                rejected=len(fields["rejects"]),
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
        if self._table is not None and self._unsummarized:
            self._unsummarized = 0
            with suppress(asyncpg.PostgresError):
                async with self._tools.database.transaction() as db:
                    await datasets.summarize(db, self._table)

    async def _shape(self, columns: tuple[Column, ...]) -> str:
        """Give the dataset its table, ahead of the first chunk; returns the table's name.

        In a short transaction of its own: a worker frozen in mid-copy must not hold the lock that its successor needs.
        """
        assert self._claim.dataset_id is not None
        async with self._tools.database.transaction() as db:
            dataset = await datasets.lock(db, self._claim.dataset_id)
            if dataset.columns is None:
                await datasets.create_table(db, dataset, columns)
            elif dataset.columns != columns:
                raise Transient("busy", "Another job gave this dataset its columns first.", retry_after_s=0.1)
        return dataset.table_name

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
