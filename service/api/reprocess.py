"""/v1/uploads/{id}/process and /v1/uploads/batch: read files again, or delete many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import appends, reprocess
from service.actions.job_requests import JobRequest
from service.api import waiting
from service.api.auth import caller_of
from service.api.params import json_of, uuid_of
from service.deps import Deps
from service.domain.errors import MillraceError
from service.domain.upload import Status
from service.store import uploads

MAX_BATCH = 1_000


class AgainBody(BaseModel):
    """The job that is to read an upload; without a processor, one like the last one."""

    model_config = ConfigDict(extra="forbid")

    processor: str | None = None
    dataset: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(5, ge=1, le=10, description="10 is most urgent.")
    metadata: dict[str, Any] = Field(default_factory=dict)

    def request(self) -> JobRequest | None:
        """What the actions take."""
        return None if self.processor is None else JobRequest(**self.model_dump())


class UploadFilter(BaseModel):
    """Which uploads a batch is for, instead of their ids."""

    model_config = ConfigDict(extra="forbid")

    state: Status | None = None
    kind: str | None = Field(None, description="What its first bytes say it is.")
    media_type: str | None = None
    suffix: str | None = None
    processor: str | None = Field(None, description="One that has read it.")


class UploadBatch(BaseModel):
    """The body of POST /v1/uploads/batch: an action, and ids or a filter."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["process", "delete"]
    ids: Annotated[list[UUID], Field(max_length=MAX_BATCH)] | None = None
    filter: UploadFilter | None = None
    job: AgainBody = Field(default_factory=AgainBody)


async def process(request: Request) -> JSONResponse:
    """POST /v1/uploads/{id}/process: queue a job over it, like its last one unless the body says another."""
    deps: Deps = request.app.state.deps
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    body = await json_of(request, AgainBody) if has_body else AgainBody()
    job = await reprocess.reprocess(deps, caller_of(request), uuid_of(request, "upload"), body.request())
    return await waiting.answer(request, job, 202, {"Location": f"/v1/jobs/{job.id}"})


async def batch(request: Request) -> JSONResponse:
    """POST /v1/uploads/batch {action, ids | filter, job}: one result an upload."""
    deps: Deps = request.app.state.deps
    caller, body = caller_of(request), await json_of(request, UploadBatch)
    ids = body.ids
    if ids is None:
        wanted = body.filter or UploadFilter()
        async with deps.database.transaction(caller.account_id) as db:
            ids = await uploads.matching(
                db,
                status=wanted.state,
                kind=wanted.kind,
                media_type=wanted.media_type,
                suffix=wanted.suffix and wanted.suffix.lower(),
                processor=wanted.processor,
                limit=MAX_BATCH,
            )
    if body.action == "delete":
        return JSONResponse({"results": await _deleted(request, ids)})
    became = await reprocess.reprocess_all(deps, caller, ids, body.job.request())
    return JSONResponse(
        {
            "results": [
                _failure(upload_id, job)
                if isinstance(job, MillraceError)
                else {"id": str(upload_id), "ok": True, "job_id": str(job.id), "state": job.state}
                for upload_id, job in became
            ]
        }
    )


async def _deleted(request: Request, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    results = []
    for upload_id in ids:
        try:
            await appends.give_up(request.app.state.deps, caller_of(request), upload_id)
            results.append({"id": str(upload_id), "ok": True})
        except MillraceError as error:
            results.append(_failure(upload_id, error))
    return results


def _failure(upload_id: UUID, error: MillraceError) -> dict[str, Any]:
    return {"id": str(upload_id), "ok": False, "code": error.code, "detail": error.message}
