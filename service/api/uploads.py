"""/v1/uploads and /v1/imports: files come in."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import uploads as actions
from service.actions.jobs import JobRequest
from service.api import views, waiting
from service.api.auth import caller_of
from service.api.intake import body_of
from service.api.params import choice_of, cursor_id, limit_of, moment_of, next_cursor, number_of, uuid_of, word_of
from service.deps import Deps
from service.domain.errors import InputError
from service.store import uploads

_OWN_PARAMETERS = {"processor", "dataset", "priority", "metadata", "name", "run_at", "dedupe_key", "again"}


async def create(request: Request) -> JSONResponse:
    """POST /v1/uploads: the body is the file."""
    deps: Deps = request.app.state.deps
    stored = await actions.upload(deps, caller_of(request), _body(request, deps))
    return JSONResponse(views.upload(stored), 201, headers={"Location": f"/v1/uploads/{stored.id}"})


async def create_import(request: Request) -> JSONResponse:
    """POST /v1/imports?processor=csv&dataset=NAME: the body is the file; further parameters are processor options."""
    deps: Deps = request.app.state.deps
    asked = _job_request(request)
    job, is_new = await actions.import_file(deps, caller_of(request), _body(request, deps), asked)
    return await waiting.answer(request, job, 202 if is_new else 200, views.places(job))


async def show(request: Request) -> JSONResponse:
    """GET /v1/uploads/{id}."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return JSONResponse(views.upload(await uploads.get(db, uuid_of(request, "upload"))))


async def index(request: Request) -> JSONResponse:
    """GET /v1/uploads: newest first."""
    deps: Deps = request.app.state.deps
    limit, before = limit_of(request), cursor_id(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await uploads.page(db, before=before, limit=limit)
    following = next_cursor(found, limit, lambda item: item.id)
    return JSONResponse({"uploads": [views.upload(u) for u in found], "next_cursor": following})


def _body(request: Request, deps: Deps) -> actions.Body:
    return body_of(request, max_bytes=deps.settings.max_upload_bytes, idle_s=deps.settings.upload_idle_s)


def _job_request(request: Request) -> JobRequest:
    given = request.query_params
    for needed in ("processor", "dataset"):
        if needed not in given:
            raise InputError(
                "missing_parameter",
                f"The parameter {needed!r} is missing.",
                suggestion="For example: POST /v1/imports?processor=csv&dataset=contacts",
            )
    return JobRequest(
        processor=given["processor"],
        dataset=given["dataset"],
        options={key: value for key, value in given.items() if key not in _OWN_PARAMETERS},
        priority=number_of(request, "priority", default=5, low=1, high=10),
        metadata=_metadata(given.get("metadata", "{}")),
        run_at=moment_of(request, "run_at"),
        dedupe_key=word_of(given.get("dedupe_key"), "dedupe_key"),
        idempotency_key=word_of(request.headers.get("idempotency-key"), "idempotency_key"),
        again=choice_of(request, "again", "false", "true") == "true",
    )


def _metadata(text: str) -> dict[str, Any]:
    try:
        given = from_json(text, allow_inf_nan=False)  # unlike json.loads it has a limit of depth
    except ValueError:
        given = None
    if isinstance(given, dict):
        return given
    raise InputError("invalid_metadata", "metadata is not a JSON object.", suggestion='For example: {"order": 17}')
