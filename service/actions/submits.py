"""Writes jobs that are submitted at the same time together: one statement for many requests of an account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from uuid import UUID

from service.domain.job import Job
from service.store import acting, jobs
from service.store.acting import Act
from service.store.database import UNSTORABLE, Database
from service.store.jobs import NewJob

MOST = 200

Request = tuple[NewJob, Act | None, asyncio.Future[Job]]


class Submits:
    """One per process. For jobs that read no upload, join no other job and wait for none: each stands for itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests: dict[UUID, list[Request]] = {}  # by account
        self._writers: dict[UUID, asyncio.Task[None]] = {}

    async def submit(self, job: NewJob) -> Job:
        """Write the job; when this returns it is durable. Raises Transient, or DataError for what cannot be stored."""
        written: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._requests.setdefault(job.account_id, []).append((job, acting.now(), written))
        if job.account_id not in self._writers:
            self._writers[job.account_id] = asyncio.create_task(
                self._write_all(job.account_id),
                context=Context(),  # what many acts ask for is none's own
            )
        return await written

    async def _write_all(self, account_id: UUID) -> None:
        try:
            while requests := self._requests.pop(account_id, []):
                for start in range(0, len(requests), MOST):
                    await self._write(account_id, requests[start : start + MOST])
        finally:
            del self._writers[account_id]

    async def _write(self, account_id: UUID, batch: Sequence[Request]) -> None:
        try:
            async with self._database.connection() as db:  # one statement: one round trip
                acts = [(act, job.id) for job, act, _ in batch if act is not None]
                written = await jobs.submit_many(db, account_id, [job for job, _, _ in batch], acts)
        except UNSTORABLE as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:  # one of them cannot be stored; the others are not to suffer for it
                for request in batch:
                    await self._write(account_id, [request])
        except Exception as error:
            _fail(batch, error)
        else:
            for (_, _, asked), job in zip(batch, written, strict=True):
                if not asked.done():
                    asked.set_result(job)


def _fail(batch: Sequence[Request], error: Exception) -> None:
    for _, _, asked in batch:
        if not asked.done():
            asked.set_exception(error)
