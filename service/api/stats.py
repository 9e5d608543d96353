"""/v1/stats: how the account's jobs are doing now, and how those that ended did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api.auth import caller_of
from service.api.params import choice_of, moment_of
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.job import FINAL, State
from service.domain.stats import Live, Point, ProcessorStats, Span, histogram, of_processor
from service.store import stats

Json = dict[str, Any]

MAX_POINTS = 1_000

SPANS: Mapping[Span, timedelta] = {
    Span.HOUR: timedelta(hours=1),
    Span.DAY: timedelta(days=1),
    Span.WEEK: timedelta(weeks=1),
}

DEFAULT_POINTS: Mapping[Span, int] = {Span.HOUR: 24, Span.DAY: 30, Span.WEEK: 26}


async def show(request: Request) -> JSONResponse:
    """GET /v1/stats?from=&to=&by=hour|day|week&processor=: jobs that live now, and a series of those that ended."""
    deps: Deps = request.app.state.deps
    by = Span(choice_of(request, "by", *Span))
    start, end = _window(request, by)
    processor = request.query_params.get("processor")
    async with deps.database.transaction(caller_of(request).account_id) as db:
        now = sorted(await stats.live(db), key=attrgetter("queue"))
        points = await stats.series(db, start, end, by, processor)
        classes = await stats.classes(db, start, end, by, processor)
        failures = await stats.failures(db, start, end, by, processor)
    processors = [of_processor(name, list(alike)) for name, alike in groupby(classes, attrgetter("processor"))]
    return JSONResponse(
        {
            "from": points[0].start.isoformat(),
            "to": end.isoformat(),
            "by": by,
            "now": _now(now),
            "queues": [_queue(name, list(alike)) for name, alike in groupby(now, attrgetter("queue"))],
            "series": [_point(p) for p in points],
            "processors": [_processor(p) for p in processors],
            "durations": [{"up_to_s": bound, "jobs": jobs} for bound, jobs in histogram(classes)],
            "failures": [asdict(f) for f in failures],
        }
    )


def _window(request: Request, by: Span) -> tuple[datetime, datetime]:
    end = moment_of(request, "to") or datetime.now(UTC)
    start = moment_of(request, "from")
    try:
        start = start or end - SPANS[by] * (DEFAULT_POINTS[by] - 1)
        earliest = end - SPANS[by] * MAX_POINTS
    except OverflowError:
        raise InputError("invalid_to", "This moment is out of reach.", suggestion="Use a later one.") from None
    if earliest < start < end:
        return start, end
    raise InputError(
        "invalid_from",
        f"from={start.isoformat()} does not fit to={end.isoformat()}.",
        suggestion=f"It must come before it, by less than {MAX_POINTS} times the span of by={by}.",
    )


def _now(live: Sequence[Live]) -> Json:
    counts = {state: sum(each.jobs for each in live if each.state is state) for state in State if state not in FINAL}
    waits = [each.oldest_s for each in live if each.state is State.QUEUED]
    return counts | {"oldest_wait_s": round(max(waits), 3) if waits else None}


def _queue(name: str, live: Sequence[Live]) -> Json:
    return {"queue": name} | _now(live)


def _point(p: Point) -> Json:
    return {
        "start": p.start.isoformat(),
        "jobs": {"completed": p.completed, "failed": p.failed, "cancelled": p.cancelled},
        "rows": {
            "read": p.read,
            "inserted": p.inserted,
            "updated": p.updated,
            "skipped": p.skipped,
            "rejected": p.rejected,
        },
        "bytes": p.bytes,
        "run_s": p.run_ms / 1000,
        "wait_s": p.wait_ms / 1000,
    }


def _processor(p: ProcessorStats) -> Json:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(p).items()}
