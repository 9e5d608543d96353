"""`Prefer: wait=N` (RFC 7240): an answer about a job waits for the job's end, at most N seconds.

It follows the job as its event stream does, so that waiting asks the database for nothing that streams do not.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, suppress

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api import views
from service.api.auth import caller_of
from service.api.params import whole
from service.api.streams import Streams
from service.deps import Deps
from service.domain.errors import Transient
from service.domain.event import TERMINAL
from service.domain.job import FINAL, Job
from service.store import jobs
from service.store.database import UNREACHABLE

MAX_WAIT_S = 60

_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d+)"?\s*(;.*)?', re.IGNORECASE)


async def answer(request: Request, job: Job, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """The job as JSON: with 200 once it has ended in the time that the request grants, else with `status`."""
    headers = dict(headers or {})
    wait_s = preferred_wait_s(request)
    if wait_s is not None:
        headers["Preference-Applied"] = f"wait={wait_s}"
        job = await ended(request, job, wait_s)
        status = 200 if job.state in FINAL else status
    return JSONResponse(views.job(job), status, headers=headers)


def preferred_wait_s(request: Request) -> int | None:
    """The seconds of the first `wait` among the request's preferences, at most MAX_WAIT_S. What is none is ignored."""
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        found = _WAIT.fullmatch(preference)
        if found and (seconds := whole(found[1])) is not None:
            return min(seconds, MAX_WAIT_S)
    return None


async def ended(request: Request, job: Job, wait_s: int) -> Job:
    """The job once it has ended, or as it is after that time, or when its client has left."""
    if job.state in FINAL or wait_s == 0:
        return job
    deps: Deps = request.app.state.deps
    leaving = asyncio.create_task(_left(request))
    ending = asyncio.create_task(_end(request.app.state.streams, job))
    try:
        await asyncio.wait((leaving, ending), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        ending.cancel()
        await asyncio.gather(leaving, ending, return_exceptions=True)
    # A database that goes away meanwhile takes nothing back: the request itself has been done.
    with suppress(Transient, *UNREACHABLE):
        async with deps.database.transaction(caller_of(request).account_id) as db:
            return await jobs.get(db, job.id)
    return job


async def _end(streams: Streams, job: Job) -> None:
    async with aclosing(streams.follow(job, job.event_seq)) as batches:
        async for batch in batches:
            if batch[-1].type in TERMINAL:
                return


async def _left(request: Request) -> None:
    """Return when the client hangs up: nobody waits any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
