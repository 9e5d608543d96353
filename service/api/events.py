"""/v1/jobs/{id}/events: a job's events as Server-Sent Events; /v1/flows/{id}/events: a flow's, in the same way.

First a `snapshot` of the job (without an id), then every event behind `Last-Event-ID` (or `?after=`, or all of them),
each with its gap-free number as id. The stream ends with the job; asking on behind the last event is answered 204,
which tells a browser to stop.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from service.api import views
from service.api.auth import caller_of
from service.api.params import uuid_of, whole
from service.api.streams import Streams
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.event import TERMINAL, Event, EventType
from service.domain.flow import Flow, FlowState
from service.domain.job import FINAL, Job
from service.store import flows, jobs

PING_S = 10
SEND_TIMEOUT_S = 20
LINE_END = "\n"


async def stream(request: Request) -> Response:
    """GET /v1/jobs/{id}/events."""
    deps: Deps = request.app.state.deps
    after = _after(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        job = await jobs.get(db, uuid_of(request, "job"))
    if job.state in FINAL and after is not None and after >= job.event_seq:
        return Response(status_code=204)
    if after is not None and after > job.event_seq:
        raise _invalid(after)  # it would wait for ever for a number behind this one
    return EventSourceResponse(
        _events(request.app.state.streams, job, after or 0), ping=PING_S, send_timeout=SEND_TIMEOUT_S, sep=LINE_END
    )


async def _events(streams: Streams, job: Job, after: int) -> AsyncIterator[ServerSentEvent]:
    retry_ms = random.randint(500, 2500)  # clients cut off together come back one by one
    yield ServerSentEvent(json.dumps(views.job(job)), event="snapshot", retry=retry_ms, sep=LINE_END)
    async for batch in streams.follow(job, after):
        for event in batch:
            yield _message(event)
        # A retried job goes on behind an earlier end, so only the newest event can be the last.
        if batch[-1].type in TERMINAL and batch[-1].seq >= job.event_seq:
            return


async def stream_flow(request: Request) -> Response:
    """GET /v1/flows/{id}/events: when the flow has ended, and was taken up again."""
    deps: Deps = request.app.state.deps
    after = _after(request)
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        flow = await flows.get(db, uuid_of(request, "flow"))
        shown = views.flow(flow) | views.steps(await flows.steps(db, flow.id))
    if flow.state is not FlowState.RUNNING and after is not None and after >= flow.event_seq:
        return Response(status_code=204)
    if after is not None and after > flow.event_seq:
        raise _invalid(after)
    return EventSourceResponse(
        _flow_events(request.app.state.streams, flow, shown, after or 0),
        ping=PING_S,
        send_timeout=SEND_TIMEOUT_S,
        sep=LINE_END,
    )


async def _flow_events(streams: Streams, flow: Flow, shown: views.Json, after: int) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(json.dumps(shown), event="snapshot", retry=random.randint(500, 2500), sep=LINE_END)
    async for batch in streams.follow_flow(flow, after):
        for event in batch:
            yield _message(event)
        if batch[-1].type is not EventType.FLOW_RESUMED and batch[-1].seq >= flow.event_seq:
            return


def _message(event: Event) -> ServerSentEvent:
    data = {"seq": event.seq, "type": event.type, "at": event.at.isoformat(), **event.data}
    return ServerSentEvent(json.dumps(data), event=event.type, id=str(event.seq), sep=LINE_END)


def _after(request: Request) -> int | None:
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if not given:
        return None
    number = whole(given)
    if number is not None:
        return number
    raise _invalid(given)


def _invalid(given: object) -> InputError:
    return InputError(
        "invalid_last_event_id",
        f"{given} is not the number of an event of this stream.",
        suggestion="Send back the last id you saw.",
    )
