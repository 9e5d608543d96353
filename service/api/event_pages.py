"""The events of /v1/jobs/{id}/events and /v1/events as pages of JSON, for clients to which no stream comes through."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api import views
from service.api.params import limit_of
from service.domain.event import Event, EventType, Position
from service.store import events, jobs
from service.store.accounts import Caller
from service.store.database import Database

MAX_SNAPSHOT = 200
"""Jobs in the snapshot of an account."""


def wanted(request: Request) -> bool:
    """Whether a page is asked for: by `Accept: application/json`, with no word of event streams."""
    accepted = request.headers.get("accept", "").lower()
    return "application/json" in accepted and "text/event-stream" not in accepted


async def of_job(request: Request, database: Database, account_id: UUID, job_id: UUID, after: int) -> JSONResponse:
    """The events of a job behind number `after`, in order, up to `limit`."""
    async with database.connection() as db:
        found = await events.after(db, account_id, job_id, after, limit=limit_of(request))
    last = found[-1].seq if found else after
    return JSONResponse({"events": [told(event) for event in found], "last_event_id": last})


async def of_account(
    request: Request, database: Database, caller: Caller, after: Position | None, types: frozenset[EventType]
) -> JSONResponse:
    """Those of all jobs behind `after`, each with its position as `id`; without it, the jobs that have not ended."""
    async with database.transaction(caller.account_id) as db:
        if after is None:
            newest = await events.newest_in_account(db, caller.account_id)  # ahead of the jobs
            live = await jobs.unfinished(db, caller.account_id, limit=MAX_SNAPSHOT)
            shown = {"jobs": [views.job(job) for job in live], "events": [], "last_event_id": str(newest)}
            return JSONResponse(shown)
        found, _ = await events.after_in_account(db, caller.account_id, after, limit=limit_of(request))
    last = found[-1].position if found else after
    chosen = [{"id": str(event.position)} | whose(event) | told(event) for event in found if event.type in types]
    return JSONResponse({"events": chosen, "last_event_id": str(last)})


def told(event: Event) -> dict[str, Any]:
    """An event as clients see it."""
    return {"seq": event.seq, "type": event.type, "at": event.at.isoformat(), **event.data}


def whose(event: Event) -> dict[str, Any]:
    """The job an event of an account belongs to; that of a flow says so in its data."""
    return {} if event.job_id is None else {"job_id": str(event.job_id)}
