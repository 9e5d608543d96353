"""The URL table."""

from __future__ import annotations

from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from service.api import (
    attachments,
    audit,
    control,
    datasets,
    downloads,
    events,
    explain,
    flows,
    health,
    jobs,
    keys,
    metrics,
    openapi,
    previews,
    processors,
    rejects,
    reprocess,
    rules,
    schedules,
    sessions,
    stats,
    undo,
    uploads,
    versions,
    workers,
)
from service.api.auth import Authenticate
from service.api.client_files import ClientFiles

WEB = Path(__file__).parent.parent / "web"

V1: list[BaseRoute] = [
    Route("/session", sessions.create, methods=["POST"]),
    Route("/session", sessions.show),
    Route("/session", sessions.delete, methods=["DELETE"]),
    Route("/audit", audit.index),
    Route("/keys", keys.create, methods=["POST"]),
    Route("/keys", keys.index),
    Route("/keys/{id}", keys.delete, methods=["DELETE"]),
    Route("/uploads", uploads.create, methods=["POST", "PUT"]),
    Route("/uploads/", uploads.create, methods=["POST"]),  # as many give the endpoint of tus
    Route("/uploads/", uploads.options, methods=["OPTIONS"]),
    Route("/uploads", uploads.index),
    Route("/uploads", uploads.options, methods=["OPTIONS"]),
    Route("/uploads/batch", reprocess.batch, methods=["POST"]),
    Route("/uploads/{name}", uploads.create_named, methods=["PUT"]),
    Route("/uploads/{id}", uploads.show),
    Route("/uploads/{id}", uploads.append, methods=["PATCH"]),
    Route("/uploads/{id}", uploads.delete, methods=["DELETE"]),
    Route("/uploads/{id}", uploads.override, methods=["POST"]),
    Route("/uploads/{id}", uploads.options, methods=["OPTIONS"]),
    Route("/uploads/{id}/content", downloads.content),
    Route("/uploads/{id}/process", reprocess.process, methods=["POST"]),
    Route("/rules", rules.create, methods=["POST"]),
    Route("/rules", rules.index),
    Route("/rules/{id}", rules.delete, methods=["DELETE"]),
    Route("/imports", uploads.create_import, methods=["POST"]),
    Route("/jobs", jobs.create, methods=["POST"]),
    Route("/jobs", jobs.index),
    Route("/jobs/batch", control.batch, methods=["POST"]),
    Route("/jobs/{id}", jobs.show),
    Route("/jobs/{id}", control.change, methods=["PATCH"]),
    Route("/jobs/{id}", control.delete, methods=["DELETE"]),
    Route("/jobs/{id}/pause", control.pause, methods=["POST"]),
    Route("/jobs/{id}/resume", control.resume, methods=["POST"]),
    Route("/jobs/{id}/cancel", control.cancel, methods=["POST"]),
    Route("/jobs/{id}/retry", control.retry, methods=["POST"]),
    Route("/jobs/{id}/events", events.stream),
    Route("/jobs/{id}/explain", explain.show),
    Route("/jobs/{id}/attempts", explain.timeline),
    Route("/jobs/{id}/rejects", rejects.index),
    Route("/jobs/{id}/rejects", rejects.create, methods=["POST"]),
    Route("/jobs/{id}/notes", undo.notes),
    Route("/jobs/{id}/undo", undo.create, methods=["POST"]),
    Route("/jobs/{id}/undo", undo.show),
    Route("/schedules", schedules.create, methods=["POST"]),
    Route("/schedules", schedules.index),
    Route("/schedules/{id}", schedules.show),
    Route("/schedules/{id}", schedules.change, methods=["PATCH"]),
    Route("/schedules/{id}", schedules.delete, methods=["DELETE"]),
    Route("/schedules/{id}/run", schedules.run, methods=["POST"]),
    Route("/queues/{queue}/jobs/{id}", jobs.show_in_queue),
    Route("/events", events.stream_all),
    Route("/flows", flows.create, methods=["POST"]),
    Route("/flows", flows.index),
    Route("/flows/{id}", flows.show),
    Route("/flows/{id}/cancel", flows.cancel, methods=["POST"]),
    Route("/flows/{id}/retry", flows.retry, methods=["POST"]),
    Route("/flows/{id}/events", events.stream_flow),
    Route("/datasets", datasets.index),
    Route("/datasets/{name}", datasets.show),
    Route("/datasets/{name}", versions.delete, methods=["DELETE"]),
    Route("/datasets/{name}/diff", versions.diff),
    Route("/datasets/{name}/swap", versions.swap, methods=["POST"]),
    Route("/datasets/{name}/rows", datasets.rows),
    Route("/datasets/{name}/export", datasets.export),
    Route("/datasets/{name}/files", attachments.index),
    Route("/datasets/{name}/files/{file}", attachments.content),
    Route("/previews", previews.create, methods=["POST"]),
    Route("/processors", processors.index),
    Route("/stats", stats.show),
    Route("/workers", workers.index),
]


async def page(_request: Request) -> FileResponse:
    """GET /: the first page."""
    return FileResponse(WEB / "index.html")


ROUTES: list[BaseRoute] = [
    Mount("/v1", routes=V1, middleware=[Middleware(Authenticate)]),
    Route("/livez", health.live),
    Route("/readyz", health.ready),
    Route("/metrics", metrics.show),
    Route("/openapi.json", openapi.document),
    Route("/", page),
    Mount("/client", ClientFiles(directory=WEB / "client")),
    Mount("/web", StaticFiles(directory=WEB)),
]
