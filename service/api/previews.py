"""/v1/previews: what an import would make of a file."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import admission
from service.actions import previews as actions
from service.actions.arrivals import Arrival
from service.actions.uploads import Incoming
from service.api import waiting
from service.api.auth import caller_of
from service.api.intake import content_of, length_of, name_of
from service.api.params import choice_of, json_of
from service.deps import Deps
from service.domain.errors import InputError, TooLarge
from service.domain.job import Job, State

BODY_BYTES = 1024 * 1024
"""The beginning of a file says what it is; a whole one is uploaded first."""

WAIT_S = 20
OWN_PARAMETERS = {"processor", "dataset", "scope", "cut", "name"}


class PreviewBody(BaseModel):
    """The JSON body of POST /v1/previews."""

    model_config = ConfigDict(extra="forbid")

    upload_id: UUID
    processor: str | None = Field(None, description="Without one, the likeliest by the content: see `recognised`.")
    dataset: str | None = Field(None, description="Whose columns the rows must fit, if it has any yet.")
    options: dict[str, Any] = Field(default_factory=dict)
    scope: actions.Scope = Field("sample", description="The beginning of the file, or all of it.")


async def create(request: Request) -> JSONResponse:
    """POST /v1/previews: `{upload_id, …}` as JSON, or the first MiB of a file as the body, options as parameters."""
    deps: Deps = request.app.state.deps
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    source: UUID | Incoming
    if media_type == "application/json" and "processor" not in request.query_params:
        given = await json_of(request, PreviewBody)
        asked = actions.PreviewRequest(given.processor, given.dataset, given.options, given.scope)
        source = given.upload_id
    else:
        asked, source = _asked(request), _beginning(request, deps)
    job = await actions.preview(deps, caller_of(request), source, asked)
    wait_s = waiting.preferred_wait_s(request)
    return _answer(await waiting.ended(request, job, WAIT_S if wait_s is None else wait_s))


def _answer(job: Job) -> JSONResponse:
    links = {"job": f"/v1/jobs/{job.id}"}
    if job.state is State.COMPLETED and job.output is not None:
        return JSONResponse({**job.output, "job_id": str(job.id), "links": links})
    if job.state in (State.FAILED, State.CANCELLED):
        told = job.problem or {"code": "conflict", "message": "The preview was cancelled."}
        raise InputError(told["code"], told["message"], suggestion=told.get("suggestion"))
    shown = {"job_id": str(job.id), "state": job.state, "links": links}
    return JSONResponse(shown, 202, headers={"Location": links["job"]})


def _asked(request: Request) -> actions.PreviewRequest:
    given = request.query_params
    return actions.PreviewRequest(
        processor=given.get("processor"),
        dataset=given.get("dataset"),
        options={name: value for name, value in given.items() if name not in OWN_PARAMETERS},
        scope="file" if choice_of(request, "scope", "sample", "file") == "file" else "sample",
    )


def _beginning(request: Request, deps: Deps) -> Incoming:
    admission.check_size(length_of(request), BODY_BYTES)
    arrival = Arrival("raw", name_of(request), request.headers.get("content-type"), heeds_rules=False)
    is_cut = choice_of(request, "cut", "no", "yes") == "yes"
    return Incoming(arrival, _whole_lines(content_of(request, deps.settings), is_cut))


async def _whole_lines(content: AsyncIterable[bytes], is_cut: bool) -> AsyncIterator[bytes]:
    """The body; of one that was cut from a longer file, without the line that is not whole."""
    found = bytearray()
    async for piece in content:
        found += piece
        if len(found) > BODY_BYTES:
            raise TooLarge(
                "too_large",
                "The body of a preview is over 1 MiB.",
                suggestion="Send its first MiB with cut=yes, or upload the file and name its upload_id.",
            )
    yield bytes(found[: found.rfind(b"\n") + 1] or found) if is_cut else bytes(found)
