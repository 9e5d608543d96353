"""/openapi.json: the URL table as an OpenAPI document, made from the routes and their docstrings."""

from __future__ import annotations

import re
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from service import __version__
from service.api.auth import COOKIE

QUERY_PARAMETERS = {
    "/v1/imports": ("processor", "dataset", "priority", "metadata", "name", "run_at", "dedupe_key", "again"),
    "/v1/uploads": ("name", "processor", "dataset", "priority", "state", "sha256", "limit", "cursor"),
    "/v1/jobs": ("state", "processor", "queue", "limit", "cursor"),
    "/v1/jobs/{id}/events": ("after", "limit"),
    "/v1/events": ("after", "type", "limit"),
    "/v1/jobs/{id}/rejects": ("state", "format", "limit", "cursor"),
    "/v1/previews": ("processor", "dataset", "scope", "cut", "name"),
    "/v1/jobs/{id}/notes": ("limit", "cursor"),
    "/v1/jobs/{id}/attempts": ("limit", "cursor"),
    "/v1/schedules": ("limit", "cursor"),
    "/v1/flows": ("state", "limit", "cursor"),
    "/v1/flows/{id}/cancel": ("rows",),
    "/v1/flows/{id}/retry": ("from",),
    "/v1/flows/{id}/events": ("after",),
    "/v1/datasets": ("rows", "limit", "cursor"),
    "/v1/datasets/{name}/rows": ("where", "sort", "job", "columns", "limit", "cursor"),
    "/v1/datasets/{name}/files": ("limit", "cursor"),
    "/v1/datasets/{name}/export": ("format", "where", "job", "columns", "formulas"),
    "/v1/datasets/{name}/diff": ("with", "keys", "limit", "cursor"),
    "/v1/audit": ("key", "about", "from", "to", "limit", "cursor"),
    "/v1/stats": ("from", "to", "by", "processor"),
}
BODIES = {
    ("/v1/session", "POST"): "LogInBody",
    ("/v1/keys", "POST"): "KeyBody",
    ("/v1/jobs", "POST"): "JobBody",
    ("/v1/jobs/{id}/rejects", "POST"): "CorrectionBody",
    ("/v1/previews", "POST"): "PreviewBody",
    ("/v1/uploads/batch", "POST"): "UploadBatch",
    ("/v1/uploads/{id}/process", "POST"): "AgainBody",
    ("/v1/rules", "POST"): "RuleBody",
    ("/v1/flows", "POST"): "FlowBody",
    ("/v1/schedules", "POST"): "ScheduleBody",
    ("/v1/schedules/{id}", "PATCH"): "ScheduleChange",
    ("/v1/datasets/{name}/swap", "POST"): "SwapBody",
}
WAITING = {
    ("/v1/imports", "POST"),
    ("/v1/jobs", "POST"),
    ("/v1/jobs/{id}", "GET"),
    ("/v1/jobs/{id}/rejects", "POST"),
    ("/v1/previews", "POST"),
    ("/v1/queues/{queue}/jobs/{id}", "GET"),
}
"""Operations that heed `Prefer: wait=N`."""
FOLLOWING = {"/v1/jobs/{id}/events", "/v1/events"}
"""Streams that go on behind `Last-Event-ID`."""


async def document(request: Request) -> JSONResponse:
    """GET /openapi.json."""
    from service.api.flows import FlowBody  # the table of routes imports all of us
    from service.api.jobs import JobBody
    from service.api.keys import KeyBody
    from service.api.previews import PreviewBody
    from service.api.rejects import CorrectionBody
    from service.api.reprocess import AgainBody, UploadBatch
    from service.api.rules import RuleBody
    from service.api.schedules import ScheduleBody, ScheduleChange
    from service.api.sessions import LogInBody
    from service.api.versions import SwapBody

    _, schemas = models_json_schema(
        [
            (body, "validation")
            for body in (
                *(JobBody, CorrectionBody, PreviewBody, FlowBody, ScheduleBody, ScheduleChange, SwapBody),
                *(UploadBatch, AgainBody, RuleBody, LogInBody, KeyBody),
            )
        ],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {}
    for path, route in _routes(request):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(path, method, route)
    return JSONResponse(
        {
            "openapi": "3.1.0",
            "info": {"title": "Millrace", "version": __version__},
            "paths": paths,
            "components": {
                "schemas": schemas["$defs"],
                "securitySchemes": {
                    "key": {"type": "http", "scheme": "bearer"},
                    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
                },
            },
            "security": [{"key": []}, {"session": []}],
        }
    )


def _routes(request: Request) -> list[tuple[str, Route]]:
    found = []
    for entry in request.app.routes:
        if isinstance(entry, Mount):
            found += [(entry.path + r.path, r) for r in entry.routes or [] if isinstance(r, Route)]
        elif isinstance(entry, Route):
            found.append((entry.path, entry))
    return found


def _operation(path: str, method: str, route: Route) -> dict[str, Any]:
    inside = [_parameter(name, "path") for name in re.findall(r"{(\w+)}", path)]
    query = [_parameter(name, "query") for name in QUERY_PARAMETERS.get(path, ())]
    operation: dict[str, Any] = {
        "summary": (route.endpoint.__doc__ or "").strip().splitlines()[0],
        "parameters": inside + query + [_parameter(name, "header") for name in _headers(path, method)],
        "responses": {"default": {"description": "JSON, or application/problem+json for an error"}},
    }
    if body := BODIES.get((path, method)):
        schema = {"$ref": f"#/components/schemas/{body}"}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif method in ("POST", "PUT", "PATCH"):
        operation["requestBody"] = {"content": {"application/octet-stream": {}}}
    return operation


def _headers(path: str, method: str) -> list[str]:
    return ["Prefer"] * ((path, method) in WAITING) + ["Last-Event-ID"] * (path in FOLLOWING)


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
