"""/v1/jobs/{id}/events and /v1/events: the events of a job, or of all jobs of the account, as Server-Sent Events.

A job's stream: first a `snapshot` of the job (without an id), then every event behind `Last-Event-ID` (or `?after=`,
or all of them), each with its gap-free number as id. It ends with the job; asking on behind the last event is answered
204, which tells a browser to stop.

An account's stream: first a `snapshot` of the jobs that have not ended, then every event behind the position that is
its id. With `Last-Event-ID` (or `?after=`) there is no snapshot, only every event behind that. It does not end.

When the service stops, each stream says `reconnect` and ends. Whoever accepts JSON alone is answered with a page.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from service.api import event_pages, views
from service.api.auth import caller_of
from service.api.event_pages import MAX_SNAPSHOT, told, whose
from service.api.params import uuid_of, whole
from service.api.sse import EventStream, message, pause
from service.api.streams import Streams
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.event import ENDING, Event, EventType, Position
from service.domain.flow import FlowState
from service.domain.job import FINAL
from service.store import events, flows, jobs


async def stream(request: Request) -> ASGIApp:
    """GET /v1/jobs/{id}/events."""
    deps: Deps = request.app.state.deps
    after = _number(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        job = await jobs.get(db, uuid_of(request, "job"))
    if event_pages.wanted(request):
        return await event_pages.of_job(request, deps.database, job.account_id, job.id, after or 0)
    if _is_all_told(after, job.event_seq, has_ended=job.state in FINAL):
        return Response(status_code=204)
    streams: Streams = request.app.state.streams
    first = message("snapshot", views.job(job), retry=_retry_ms())
    ends = _ends(job.event_seq)
    return EventStream(
        streams.of_job(job), first, after or 0, _job_form, ping_s=streams.ping_s, is_last=ends, goodbye=_reconnect
    )


async def stream_all(request: Request) -> ASGIApp:
    """GET /v1/events?type=: of all jobs of the account."""
    deps: Deps = request.app.state.deps
    caller, after, types = caller_of(request), _position(request), _types(request)
    is_paged = event_pages.wanted(request)
    async with deps.database.transaction(caller.account_id) as db:
        if after is not None and not await events.is_past(db, after):
            raise _invalid(after)
        newest = await events.newest_in_account(db, caller.account_id)  # ahead of the jobs: what follows is behind it
        live = [] if after or is_paged else await jobs.unfinished(db, caller.account_id, limit=MAX_SNAPSHOT)
    if is_paged:
        return await event_pages.of_account(request, deps.database, caller, after, types)
    first = pause(_retry_ms())
    if not after:
        snapshot = {"jobs": [views.job(job) for job in live], "last_event_id": str(newest)}
        first = message("snapshot", snapshot, id=str(newest), retry=_retry_ms())
    streams: Streams = request.app.state.streams
    feed = streams.of_account(caller.account_id, newest)
    return EventStream(feed, first, after or newest, AccountForm(types), ping_s=streams.ping_s, goodbye=_reconnect)


def _job_form(batch: Sequence[Event]) -> bytes:
    return b"".join(message(event.type, told(event), id=str(event.seq)) for event in batch)


@dataclass(frozen=True, slots=True)
class AccountForm:
    """Events of an account, of some types only."""

    types: frozenset[EventType]

    def __call__(self, batch: Sequence[Event]) -> bytes:
        return b"".join(
            message(event.type, whose(event) | told(event), id=str(event.position))
            for event in batch
            if event.type in self.types
        )


def _ends(newest: int) -> Callable[[Event], bool]:
    # What was retried goes on behind an earlier end, so only the newest event can be the last.
    return lambda event: event.type in ENDING and event.seq >= newest


async def stream_flow(request: Request) -> ASGIApp:
    """GET /v1/flows/{id}/events: when the flow has ended, and was taken up again."""
    deps: Deps = request.app.state.deps
    after = _number(request)
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        flow = await flows.get(db, uuid_of(request, "flow"))
        shown = views.flow(flow) | views.steps(await flows.steps(db, flow.id))
    if _is_all_told(after, flow.event_seq, has_ended=flow.state is not FlowState.RUNNING):
        return Response(status_code=204)
    streams: Streams = request.app.state.streams
    first = message("snapshot", shown, retry=_retry_ms())
    ends = _ends(flow.event_seq)
    return EventStream(
        streams.of_flow(flow), first, after or 0, _job_form, ping_s=streams.ping_s, is_last=ends, goodbye=_reconnect
    )


def _is_all_told(after: int | None, newest: int, *, has_ended: bool) -> bool:
    """Whether nothing comes behind number `after` any more. Raises InputError for one that is not there yet."""
    if after is None:
        return False
    if after > newest and not has_ended:
        raise _invalid(after)  # it would wait for ever for a number behind this one
    return after >= newest and has_ended


def _reconnect() -> bytes:
    return message("reconnect", {"reason": "the service stops"}, retry=_retry_ms())


def _retry_ms() -> int:
    return random.randint(500, 2500)  # clients cut off together come back one by one


def _given(request: Request) -> str | None:
    return request.headers.get("last-event-id") or request.query_params.get("after") or None


def _number(request: Request) -> int | None:
    given = _given(request)
    if given is None:
        return None
    number = whole(given)
    if number is not None:
        return number
    raise _invalid(given)


def _position(request: Request) -> Position | None:
    given = _given(request)
    if given is None:
        return None
    tx, _, no = given.partition("-")
    found = (whole(tx), whole(no))
    if found[0] is not None and found[1] is not None and max(found[0], found[1]) < 2**63:
        return Position(found[0], found[1])
    raise _invalid(given)


def _types(request: Request) -> frozenset[EventType]:
    given = request.query_params.get("type")
    if given is None:
        return frozenset(EventType)
    if (names := set(given.split(","))) <= set(EventType):
        return frozenset(EventType(name) for name in names)
    raise InputError("invalid_type", f"{given!r} names no events.", suggestion=f"Use some of: {','.join(EventType)}.")


def _invalid(given: object) -> InputError:
    return InputError(
        "invalid_last_event_id",
        f"{given} is not the id of an event of this stream.",
        suggestion="Send back the last id you saw.",
    )
