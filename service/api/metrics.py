"""/metrics: numbers for Prometheus, of all accounts together and without a name of any.

What counts jobs comes from PostgreSQL, so every API process tells the same; requests, bytes and clients of streams are
those of the process that is asked. Ended jobs are a gauge, for a retry takes an end back; completed ones only grow.
"""

from __future__ import annotations

import hmac
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from service.api.metering import Meters
from service.api.streams import Streams
from service.deps import Deps
from service.domain.errors import AccessError
from service.domain.job import State
from service.domain.stats import NEVER_RAN, Ended, Live, bound_s
from service.store import stats, workers
from service.store.workers import Worker

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, Mapping[str, object], float]


async def show(request: Request) -> PlainTextResponse:
    """GET /metrics: in Prometheus' text format."""
    deps: Deps = request.app.state.deps
    if key := deps.settings.metrics_key:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), key.encode()):
            raise AccessError(
                "unauthenticated", "The metrics need a key.", suggestion="Send MILLRACE_METRICS_KEY as a Bearer."
            )
    async with deps.database.transaction() as db:
        live, ended = await stats.all_live(db), await stats.all_ended(db)
        found = await workers.all_workers(db)
    is_redis_up = await deps.bus.is_up()
    lines = [
        *_of_live(live),
        *_of_ended(ended),
        *_of_workers(found),
        *_of_process(request.app.state.meters, request.app.state.streams, is_redis_up=is_redis_up),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type=MEDIA_TYPE)


def _of_live(live: Sequence[Live]) -> Iterator[str]:
    yield from _family(
        "millrace_jobs",
        "gauge",
        "Jobs that have not ended, by queue and state.",
        (("", {"queue": each.queue, "state": each.state}, each.jobs) for each in live),
    )
    yield from _family(
        "millrace_oldest_wait_seconds",
        "gauge",
        "For how long the oldest queued job of a queue has waited.",
        (("", {"queue": each.queue}, each.oldest_s) for each in live if each.state is State.QUEUED),
    )


def _of_ended(ended: Sequence[Ended]) -> Iterator[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for each in ended:
        counts[each.processor, each.state] += each.jobs
    yield from _family(
        "millrace_ended_jobs",
        "gauge",
        "Jobs by processor and how they ended; a retry takes an end back.",
        (("", {"processor": name, "state": state}, jobs) for (name, state), jobs in sorted(counts.items())),
    )
    completed = [each for each in ended if each.state == State.COMPLETED]
    rows = ("inserted", "updated", "skipped", "rejected")
    yield from _family(
        "millrace_rows_total",
        "counter",
        "Rows of completed jobs, by processor and what became of them.",
        (
            ("", {"processor": name, "as": become}, sum(getattr(each, become) for each in alike))
            for name, alike in _by_processor(completed)
            for become in rows
        ),
    )
    yield from _family(
        "millrace_read_bytes_total",
        "counter",
        "Bytes that completed jobs have read, by processor.",
        (("", {"processor": name}, sum(each.bytes for each in alike)) for name, alike in _by_processor(completed)),
    )
    ran = [each for each in completed if each.run_class != NEVER_RAN]
    yield from _family(
        "millrace_job_run_seconds",
        "histogram",
        "How long completed jobs ran, by processor.",
        (sample for name, alike in _by_processor(ran) for sample in _buckets(name, alike)),
    )


def _of_workers(found: Sequence[Worker]) -> Iterator[str]:
    for name, what in (("slots", "Jobs that a worker takes at a time"), ("used", "Jobs that a worker has")):
        yield from _family(
            f"millrace_worker_slots_{name}" if name == "used" else "millrace_worker_slots",
            "gauge",
            f"{what}, by queue.",
            (
                ("", {"worker": each.name, "queue": queue}, slots[name])
                for each in found
                for queue, slots in sorted(each.load.queues.items())
            ),
        )
    for name, what in (
        ("cpu", "Cores that a worker and its children take."),
        ("rss_bytes", "Memory that a worker and its children take."),
    ):
        yield from _family(
            f"millrace_worker_{name}",
            "gauge",
            what,
            (("", {"worker": each.name}, getattr(each.load, name)) for each in found),
        )
    yield from _family(
        "millrace_worker_silent_seconds",
        "gauge",
        "Since when a worker has told nothing of itself.",
        (("", {"worker": each.name}, each.silent_s) for each in found),
    )


def _of_process(meters: Meters, streams: Streams, *, is_redis_up: bool) -> Iterator[str]:
    yield from _family(
        "millrace_redis_up", "gauge", "Whether Redis answers this process.", [("", {}, float(is_redis_up))]
    )
    yield from _family(
        "millrace_stream_clients", "gauge", "Event streams that are open here.", [("", {}, streams.clients)]
    )
    yield from _family(
        "millrace_upload_bytes_total", "counter", "Bytes of files that came in here.", [("", {}, meters.upload_bytes)]
    )
    yield from _family(
        "millrace_http_requests_total",
        "counter",
        "Requests answered here, by method and status.",
        (
            ("", {"method": method, "status": status}, count)
            for (method, status), count in sorted(meters.requests.items())
        ),
    )


def _buckets(processor: str, alike: Sequence[Ended]) -> Iterator[Sample]:
    so_far = 0
    for each in alike:
        so_far += each.jobs
        yield "_bucket", {"processor": processor, "le": f"{bound_s(each.run_class):g}"}, so_far
    yield "_bucket", {"processor": processor, "le": "+Inf"}, so_far
    yield "_sum", {"processor": processor}, sum(each.run_ms for each in alike) / 1000
    yield "_count", {"processor": processor}, so_far


def _by_processor(ended: Sequence[Ended]) -> list[tuple[str, list[Ended]]]:
    return [(name, list(alike)) for name, alike in groupby(ended, attrgetter("processor"))]


def _family(name: str, kind: str, what: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items())
        number = str(int(value)) if float(value).is_integer() and math.isfinite(value) else repr(float(value))
        yield f"{name}{suffix}{{{shown}}} {number}" if shown else f"{name}{suffix} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
