"""/v1/flows: jobs joined by dependencies, submitted and steered as one."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import flows as actions
from service.actions.job_requests import JobRequest
from service.api import views
from service.api.auth import caller_of
from service.api.jobs import RetryBody
from service.api.params import Name, choice_of, cursor_id, json_of, limit_of, next_cursor, uuid_of, word_of
from service.deps import Deps
from service.domain import reference
from service.domain.errors import InputError
from service.domain.flow import KEY_PATTERN, MAX_STEPS, FlowState
from service.domain.job import RunIf
from service.store import flows

Key = Annotated[str, Field(pattern=KEY_PATTERN)]


class ReferenceBody(BaseModel):
    """What an earlier step gave: `{"$from": "key.field"}`."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(alias=reference.MARK, max_length=1_000)


class StepBody(BaseModel):
    """One step of POST /v1/flows: a job, its key, and the keys of the steps that it waits for."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    processor: str
    upload_id: UUID | ReferenceBody | None = None
    dataset: str | ReferenceBody | None = None
    input: dict[str, Any] = Field(default_factory=dict, description='May hold {"$from": "key.field"} at any depth.')
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10)
    metadata: dict[str, Any] = Field(default_factory=dict)
    run_at: AwareDatetime | None = None
    retry: RetryBody = Field(default_factory=RetryBody)
    after: Annotated[list[Key], Field(max_length=MAX_STEPS)] = []
    run_if: RunIf = RunIf.COMPLETED
    required: bool = Field(True, description="Whether the flow fails with it.")

    def request(self) -> actions.StepRequest:
        """What the actions take."""
        given = {"upload_id": self.upload_id, "dataset": self.dataset}
        found = {name: reference.of(v.path) for name, v in given.items() if isinstance(v, ReferenceBody)}
        job = JobRequest(
            processor=self.processor,
            dataset=self.dataset if isinstance(self.dataset, str) else None,
            input=self.input,
            options=self.options,
            priority=self.priority,
            metadata=self.metadata,
            run_at=self.run_at,
            retry=self.retry.model_dump(exclude_none=True),
            run_if=self.run_if,
        )
        upload_id = self.upload_id if isinstance(self.upload_id, UUID) else None
        return actions.StepRequest(self.key, job, upload_id, found, tuple(dict.fromkeys(self.after)), self.required)


class FlowBody(BaseModel):
    """The body of POST /v1/flows."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    metadata: dict[str, Any] = Field(default_factory=dict)
    steps: Annotated[list[StepBody], Field(min_length=1, max_length=MAX_STEPS)]

    def request(self) -> actions.FlowRequest:
        """What the actions take."""
        return actions.FlowRequest(self.name, self.metadata, [step.request() for step in self.steps])


async def create(request: Request) -> JSONResponse:
    """POST /v1/flows {name, metadata, steps}: all of its jobs, or none."""
    body = await json_of(request, FlowBody)
    key = word_of(request.headers.get("idempotency-key"), "idempotency_key")
    flow, is_new = await actions.submit(request.app.state.deps, caller_of(request), body.request(), key)
    answer = await shown(request, flow.id)
    return JSONResponse(answer, 202 if is_new else 200, headers={"Location": f"/v1/flows/{flow.id}"})


async def show(request: Request) -> JSONResponse:
    """GET /v1/flows/{id}: with its steps and the edges between them."""
    return JSONResponse(await shown(request, uuid_of(request, "flow")))


async def index(request: Request) -> JSONResponse:
    """GET /v1/flows?state=&cursor=&limit=: newest first."""
    deps: Deps = request.app.state.deps
    limit, before, state = limit_of(request), cursor_id(request), _state(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await flows.page(db, before=before, state=state, limit=limit)
    following = next_cursor(found, limit, lambda item: item.id)
    return JSONResponse({"flows": [views.flow(f) for f in found], "next_cursor": following})


async def cancel(request: Request) -> JSONResponse:
    """POST /v1/flows/{id}/cancel?rows=keep|remove: every step that has not ended."""
    flow_id, remove_rows = uuid_of(request, "flow"), choice_of(request, "rows", "keep", "remove") == "remove"
    await actions.cancel(request.app.state.deps, caller_of(request), flow_id, remove_rows=remove_rows)
    return JSONResponse(await shown(request, flow_id))


async def retry(request: Request) -> JSONResponse:
    """POST /v1/flows/{id}/retry?from=checkpoint|start: every step that failed or was cancelled."""
    flow_id, from_start = uuid_of(request, "flow"), choice_of(request, "from", "checkpoint", "start") == "start"
    await actions.retry(request.app.state.deps, caller_of(request), flow_id, from_start=from_start)
    return JSONResponse(await shown(request, flow_id))


async def shown(request: Request, flow_id: UUID) -> views.Json:
    """A flow with its steps."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        flow = await flows.get(db, flow_id)
        return views.flow(flow) | views.steps(await flows.steps(db, flow_id))


def _state(request: Request) -> FlowState | None:
    given = request.query_params.get("state")
    if given is None or given in set(FlowState):
        return None if given is None else FlowState(given)
    raise InputError("invalid_state", f"{given!r} is no state.", suggestion=f"Use one of: {', '.join(FlowState)}.")
