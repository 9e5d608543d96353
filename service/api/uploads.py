"""/v1/uploads and /v1/imports: files come in, in one request or in several; and what there is of them."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import admission, appends
from service.actions import uploads as actions
from service.actions.arrivals import Arrived
from service.api import forms, remote, resumable, tus, views, waiting
from service.api.auth import caller_of
from service.api.digests import checked_by, digests_in
from service.api.flows import shown as flow_shown
from service.api.intake import content_of
from service.api.multipart import boundary_of
from service.api.params import cursor_id, hex_of, limit_of, next_cursor, uuid_of, word_among
from service.api.stored import arrival_of, created, digest_headers, found
from service.api.wanted import import_wanted, job_wanted
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.upload import STATUSES
from service.store import uploads


async def create(request: Request) -> Response:
    """POST /v1/uploads: the body is the file, a form with files, or `{url}`; or it begins a resumable upload."""
    if tus.speaks(request):
        return await tus.create(request)
    deps: Deps = request.app.state.deps
    given = request.query_params
    if boundary := boundary_of(request):
        arrived = await forms.take_in(request, boundary, job_wanted)
        return _created_many(arrived)
    if resumable.speaks(request):
        return await resumable.create(request)
    if asked := await remote.asked_for(request):
        return await remote.fetch(request, asked)
    arrival = arrival_of(request, given)
    return created(await actions.upload(deps, caller_of(request), arrival, _content(request)))


async def create_named(request: Request) -> Response:
    """PUT /v1/uploads/{name}: the body is the file of that name, as `curl -T FILE …/v1/uploads/` sends it."""
    return await create(request)


async def create_import(request: Request) -> JSONResponse:
    """POST /v1/imports?dataset=NAME&processor=csv: the body is the file, or a form; other parameters are options."""
    deps: Deps = request.app.state.deps
    if boundary := boundary_of(request):
        arrived = await forms.take_in(request, boundary, import_wanted, keeps_twin=False)
        return await _started(request, arrived)
    asked = import_wanted(request, request.query_params)
    arrival = replace(arrival_of(request, {}), heeds_rules=False)
    imported = await actions.import_file(deps, caller_of(request), arrival, asked, _content(request))
    return await _started(request, [imported])


async def show(request: Request) -> Response:
    """GET /v1/uploads/{id}: name, size, digest, state and the jobs that used it. HEAD says how much of it has come."""
    if request.method == "HEAD":
        return await (tus.head(request) if tus.speaks(request) else resumable.head(request))
    upload = await found(request)
    return JSONResponse(views.upload(upload), headers=digest_headers(upload))


async def index(request: Request) -> JSONResponse:
    """GET /v1/uploads?state=&sha256=: newest first."""
    deps: Deps = request.app.state.deps
    limit, before = limit_of(request), cursor_id(request)
    status = word_among(request, "state", STATUSES)
    sha256 = hex_of(request, "sha256", 32)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        page = await uploads.page(db, before=before, limit=limit, status=status, sha256=sha256)
    following = next_cursor(page, limit, lambda item: item.id)
    return JSONResponse({"uploads": [views.upload(u) for u in page], "next_cursor": following})


async def append(request: Request) -> Response:
    """PATCH /v1/uploads/{id}: more of a resumable upload, by tus or by the IETF's draft."""
    return await (tus.append(request) if tus.speaks(request) else resumable.append(request))


async def override(request: Request) -> Response:
    """POST /v1/uploads/{id} with X-HTTP-Method-Override: for clients that can send nothing but POST."""
    meant = request.headers.get("x-http-method-override", "").upper()
    match meant:
        case "PATCH":
            return await append(request)
        case "DELETE":
            return await delete(request)
        case "HEAD":
            request.scope["method"] = "HEAD"
            return await show(request)
    raise InputError(
        "invalid_header",
        f"X-HTTP-Method-Override: {meant or 'none'} means nothing here.",
        suggestion="Use PATCH, HEAD or DELETE.",
    )


async def delete(request: Request) -> Response:
    """DELETE /v1/uploads/{id}: the file goes, finished or not; refused while a job needs it."""
    if tus.speaks(request):
        return await tus.terminate(request)
    await appends.give_up(request.app.state.deps, caller_of(request), uuid_of(request, "upload"))
    return Response(status_code=204)


async def options(request: Request) -> Response:
    """OPTIONS /v1/uploads: the protocols that are spoken here, and the limits, before any byte flows."""
    deps: Deps = request.app.state.deps
    processor = deps.catalog.get(request.query_params.get("processor", ""))
    most = admission.max_bytes(deps, processor)
    methods = "GET, HEAD, PATCH, DELETE, POST, OPTIONS" if "id" in request.path_params else "GET, POST, PUT, OPTIONS"
    headers = {"Allow": methods, "Cache-Control": "no-store"} | tus.abilities(most) | resumable.abilities(deps, most)
    return Response(status_code=204, headers=headers)


def _created_many(arrived: list[Arrived]) -> JSONResponse:
    if len(arrived) == 1:
        return created(arrived[0])
    return JSONResponse({"uploads": [views.upload(each.upload) for each in arrived]}, 201)


def _content(request: Request) -> AsyncIterable[bytes]:
    deps: Deps = request.app.state.deps
    return checked_by(deps.files, content_of(request, deps.settings), digests_in(request, "content-digest"))


async def _started(request: Request, arrived: list[Arrived]) -> JSONResponse:
    """One job, or one flow, by itself; else all jobs, those of flows too."""
    if len(arrived) == 1 and (flow := arrived[0].flow) is not None:
        return JSONResponse(await flow_shown(request, flow.id), 202, headers={"Location": f"/v1/flows/{flow.id}"})
    made = [(each.job, each.is_new_job) for each in arrived if each.job is not None]
    if len(arrived) == 1:
        ((job, is_new),) = made
        return await waiting.answer(request, job, 202 if is_new else 200, views.places(job))
    begun = [views.flow(each.flow) for each in arrived if each.flow is not None]
    return JSONResponse({"jobs": [views.job(job) for job, _ in made]} | ({"flows": begun} if begun else {}), 202)
