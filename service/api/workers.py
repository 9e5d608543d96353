"""/v1/workers: who works here, and how busy each is."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api.auth import caller_of
from service.deps import Deps
from service.store import workers
from service.store.workers import Worker

SILENT_S = 20.0
"""Workers tell of themselves every 5 s."""


async def index(request: Request) -> JSONResponse:
    """GET /v1/workers: each with its slots by queue, cores, memory and its host's load, as told a moment ago."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await workers.all_workers(db)
    return JSONResponse({"workers": [_worker(each) for each in found]})


def _worker(each: Worker) -> dict[str, Any]:
    return {
        "name": each.name,
        "host": each.host,
        "pid": each.pid,
        "version": each.version,
        "state": "silent" if each.silent_s > SILENT_S else "alive",
        "started_at": each.started_at.isoformat(),
        "seen_at": each.seen_at.isoformat(),
        "queues": [{"queue": queue, **slots} for queue, slots in sorted(each.load.queues.items())],
        "cpu": round(each.load.cpu, 3),
        "rss_bytes": each.load.rss_bytes,
        "load": [round(number, 2) for number in each.load.load],
    }
