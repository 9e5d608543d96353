"""Uploads between requests and rows: what a request says of its file, which upload it means, and 201 for a new one."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse

from service.actions import admission
from service.actions.arrivals import Arrival, Arrived
from service.api import views
from service.api.auth import caller_of
from service.api.digests import digests_in, repr_digest
from service.api.intake import length_of, name_of
from service.api.params import uuid_of
from service.api.wanted import job_wanted
from service.deps import Deps
from service.domain.upload import Upload
from service.store import uploads
from service.store.arrivals import gone


async def found(request: Request) -> Upload:
    """The upload of the path, for as long as it is in sight. Raises NotFound, StateError: it was deleted."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        upload = await uploads.get(db, uuid_of(request, "upload"))
    if upload.removed_at is not None:
        raise gone(upload)
    return upload


def arrival_of(request: Request, given: Mapping[str, str]) -> Arrival:
    """What a request says of the file that is its body. Raises InputError, TooLarge."""
    deps: Deps = request.app.state.deps
    admission.check_size(length_of(request), deps.settings.max_upload_bytes)
    return Arrival(
        "raw",
        name=name_of(request),
        media_type=request.headers.get("content-type"),
        size_bytes=length_of(request) or None,
        wanted=job_wanted(request, given),
        digests=digests_in(request, "repr-digest"),
    )


def created(arrived: Arrived) -> JSONResponse:
    """201 for a complete upload."""
    headers = {"Location": f"/v1/uploads/{arrived.upload.id}"} | digest_headers(arrived.upload)
    if arrived.job is not None:
        headers["Job-Location"] = f"/v1/jobs/{arrived.job.id}"
    return JSONResponse(views.upload(arrived.upload), 201, headers=headers)


def digest_headers(upload: Upload) -> dict[str, str]:
    """Repr-Digest, once it is known."""
    return {} if upload.sha256 is None else {"Repr-Digest": repr_digest(upload.sha256)}
