"""/v1/rules: jobs that uploads of a type start by themselves."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions.job_requests import JobRequest, check_upload, prepare
from service.api import views
from service.api.auth import caller_of
from service.api.params import json_of, uuid_of
from service.deps import Deps
from service.domain.ids import new_id
from service.store import acting, rules

FileType = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=127, pattern=r"(?i)^(\.[a-z0-9_-]+|[a-z0-9.+-]+/[a-z0-9.+-]+)$"
    ),
]


class RuleBody(BaseModel):
    """The body of POST /v1/rules."""

    model_config = ConfigDict(extra="forbid")

    type: FileType = Field(description="A suffix such as .csv, or a media type such as text/csv; a suffix goes first.")
    processor: str
    dataset: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10, description="10 is most urgent.")


async def create(request: Request) -> JSONResponse:
    """POST /v1/rules: uploads of a type start a job by themselves."""
    deps: Deps = request.app.state.deps
    caller, body = caller_of(request), await json_of(request, RuleBody)
    asked = JobRequest(body.processor, body.dataset, options=body.options, priority=body.priority)
    rule_id = new_id()
    check_upload(prepare(deps.catalog, asked).processor, rule_id)
    async with deps.database.transaction(caller.account_id) as db:
        acting.about(rule_id)
        rule = await rules.add(db, caller.account_id, rule_id, **body.model_dump())
    return JSONResponse(views.rule(rule), 201, headers={"Location": f"/v1/rules/{rule.id}"})


async def index(request: Request) -> JSONResponse:
    """GET /v1/rules: oldest first."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return JSONResponse({"rules": [views.rule(rule) for rule in await rules.all_of(db)]})


async def delete(request: Request) -> Response:
    """DELETE /v1/rules/{id}."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        await rules.remove(db, uuid_of(request, "rule"))
    return Response(status_code=204)
