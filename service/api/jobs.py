"""/v1/jobs: queue, look, list."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import jobs as actions
from service.actions.job_requests import JobRequest
from service.actions.recognising import recognised_upload
from service.api import views, waiting
from service.api.auth import caller_of
from service.api.params import cursor_id, limit_of, next_cursor, one_or_many, uuid_of, word_of
from service.deps import Deps
from service.domain.errors import InputError, NotFound
from service.domain.flow import MAX_NEEDS
from service.domain.job import Job, RunIf, State
from service.domain.recognition import AUTO
from service.store import jobs

MOST_AT_ONCE = 1_000
"""Jobs in one request."""


class RetryBody(BaseModel):
    """How a job is tried again; what is left out is as its processor has it."""

    model_config = ConfigDict(extra="forbid")

    max_attempts: int | None = Field(None, ge=1, le=100, description="Tries in all.")
    first_wait_s: float | None = Field(None, ge=0, le=86_400, description="Longest wait before the second try.")
    longest_wait_s: float | None = Field(None, ge=0, le=604_800, description="Longest wait before any try.")
    deadline_s: float | None = Field(None, gt=0, le=86_400, description="Longest time without progress.")


class JobBody(BaseModel):
    """The body of POST /v1/jobs."""

    model_config = ConfigDict(extra="forbid")

    processor: str = Field(AUTO, description="Without one, the content of the upload says which.")
    upload_id: UUID | None = Field(None, description="The file, for a processor that reads one.")
    dataset: str | None = Field(None, description="Where rows go, for a processor that reads a file.")
    input: dict[str, Any] = Field(default_factory=dict, description="For a processor that reads no file.")
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10, description="10 is most urgent.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    run_at: AwareDatetime | None = Field(None, description="Not before this moment.")
    dedupe_key: str | None = Field(None, min_length=1, max_length=200, description="Joins a live job with this key.")
    after: Annotated[list[UUID], Field(max_length=MAX_NEEDS, description="Jobs that have to end before this one.")] = []
    run_if: RunIf = Field(RunIf.COMPLETED, description="Run only if all of them completed, or once they have ended.")
    retry: RetryBody = Field(default_factory=RetryBody)
    again: bool = Field(False, description="Import content that was uploaded and imported the same way before.")

    def request(self, idempotency_key: str | None = None) -> JobRequest:
        """What the actions take."""
        given = {name: value for name, value in self if name not in ("upload_id", "retry", "after")}
        retry = self.retry.model_dump(exclude_none=True)
        after = tuple(dict.fromkeys(self.after))
        return JobRequest(**given, retry=retry, after=after, idempotency_key=idempotency_key)


async def create(request: Request) -> JSONResponse:
    """POST /v1/jobs: one job, or a list of them, of which all are queued or none."""
    deps: Deps = request.app.state.deps
    body = await one_or_many(request, JobBody, MOST_AT_ONCE)
    key = word_of(request.headers.get("idempotency-key"), "idempotency_key")
    if isinstance(body, list):
        return await _create_many(request, body, key)
    asked = await _recognised(request, body, key)
    job, is_new = await actions.submit(deps, caller_of(request), body.upload_id, asked)
    return await waiting.answer(request, job, 202 if is_new else 200, views.places(job))


async def _create_many(request: Request, bodies: list[JobBody], key: str | None) -> JSONResponse:
    if key is not None:
        raise InputError(
            "invalid_idempotency_key",
            "An Idempotency-Key is for one job, and this is a list.",
            suggestion="Give each job a dedupe_key instead.",
        )
    asked = [(body.upload_id, await _recognised(request, body)) for body in bodies]
    queued = await actions.submit_all(request.app.state.deps, caller_of(request), asked)
    return JSONResponse({"jobs": [views.job(job) for job in queued]}, 202)


async def _recognised(request: Request, body: JobBody, key: str | None = None) -> JobRequest:
    asked = body.request(key)
    if body.processor != AUTO:
        return asked
    if body.upload_id is None:
        raise InputError(
            "missing_parameter",
            "The job names neither a processor nor an upload that would say which.",
            suggestion='For example: {"processor": "csv", "upload_id": "…", "dataset": "contacts"}',
        )
    return await recognised_upload(request.app.state.deps, caller_of(request), body.upload_id, asked)


async def show(request: Request) -> JSONResponse:
    """GET /v1/jobs/{id}."""
    return await waiting.answer(request, await _job(request), 200)


async def show_in_queue(request: Request) -> JSONResponse:
    """GET /v1/queues/{queue}/jobs/{id}: the same, if the job is of that queue."""
    job = await _job(request)
    if job.queue != request.path_params["queue"]:
        raise NotFound("job of this queue", job.id)
    return await waiting.answer(request, job, 200)


async def index(request: Request) -> JSONResponse:
    """GET /v1/jobs?state=&processor=&queue=&cursor=&limit=: newest first; previews only with queue=preview."""
    deps: Deps = request.app.state.deps
    limit, before, state = limit_of(request), cursor_id(request), _state(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await jobs.page(
            db,
            before=before,
            state=state,
            processor=request.query_params.get("processor"),
            queue=request.query_params.get("queue"),
            limit=limit,
        )
    following = next_cursor(found, limit, lambda item: item.id)
    return JSONResponse({"jobs": [views.job(j) for j in found], "next_cursor": following})


async def _job(request: Request) -> Job:
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return await jobs.get(db, uuid_of(request, "job"))


def _state(request: Request) -> State | None:
    given = request.query_params.get("state")
    if given is None:
        return None
    if given in set(State):
        return State(given)
    raise InputError("invalid_state", f"{given!r} is no state.", suggestion=f"Use one of: {', '.join(State)}.")
