"""Resumable uploads as the IETF drafts them (draft-ietf-httpbis-resumable-upload-11): Upload-Complete and its kin."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.actions import admission, appends, arrivals
from service.actions.appends import Addition, WrongLength, WrongOffset
from service.api import problems
from service.api.auth import caller_of
from service.api.digests import checked_by, digests_in, repr_digest
from service.api.intake import content_of, length_of
from service.api.params import uuid_of
from service.api.stored import arrival_of, created, found
from service.deps import Deps
from service.domain.errors import InputError, MillraceError, StateError, TooLarge
from service.domain.upload import Upload
from service.store.arrivals import gone

MEDIA_TYPE = "application/partial-upload"
INTEROP_VERSIONS = ("6", "7", "8")
"""Of drafts whose 104 means what ours does. Without a version the client speaks the finished protocol."""

TYPES = {
    "mismatching_offset": "mismatching-upload-offset",
    "inconsistent_length": "inconsistent-upload-length",
    "upload_complete": "completed-upload",
}
"""Problems that the draft has names for."""

_TAKES_INTERIM_FOR_FINAL = re.compile(r"python-(requests|urllib3)/")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Said:
    """What the fields of a request say; a field of the wrong form counts as not there."""

    complete: bool | None
    offset: int | None
    length: int | None


def speaks(request: Request) -> bool:
    """Whether a request begins a resumable upload."""
    return _said(request).complete is not None


def abilities(deps: Deps, max_bytes: int) -> dict[str, str]:
    """What OPTIONS tells of resumable uploads."""
    return {"Accept-Patch": MEDIA_TYPE, "Upload-Limit": _limits(deps, max_bytes, deps.settings.keep_unfinished_s)}


def _spoken(handler: Handler) -> Handler:
    """Errors with the types and fields that the draft has for them."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        deps: Deps = request.app.state.deps
        try:
            return await handler(request)
        except MillraceError as error:
            name = TYPES.get(error.code)
            more: dict[str, object] = (
                {"type": f"https://iana.org/assignments/http-problem-types#{name}"} if name else {}
            )
            if isinstance(error, WrongOffset):
                more |= {"expected-offset": error.offset, "provided-offset": error.asked}
            response = await problems.known(request, error, more)
            if isinstance(error, WrongOffset):
                response.headers["Upload-Offset"] = str(error.offset)
            if isinstance(error, TooLarge):
                response.headers["Upload-Limit"] = _limits(deps, admission.max_bytes(deps, None), None)
            if error.code == "wrong_content_type":
                response.headers["Accept-Patch"] = MEDIA_TYPE
            return response

    return answer


@_spoken
async def create(request: Request) -> Response:
    """A new upload with its first bytes, or all of them. A client that is told where it is can go on after a cut."""
    deps: Deps = request.app.state.deps
    said, caller = _said(request), caller_of(request)
    size = _size(said, 0, length_of(request))
    arrival = replace(arrival_of(request, request.query_params), protocol="resumable", size_bytes=size)
    digests = digests_in(request, "content-digest")
    upload = await appends.create(deps, caller, arrival)
    location = f"/v1/uploads/{upload.id}"
    told = _interim(request, {"Location": location, "Upload-Limit": _limits_of(deps, upload)})
    try:
        content = checked_by(deps.files, content_of(request, deps.settings), digests)
        addition = Addition(0, content, size, length_of(request), is_checked=bool(digests))
        upload = await appends.add(deps, caller, upload.id, addition)
    except (ClientDisconnect, InputError, StateError) as error:
        if not told or (isinstance(error, InputError) and error.code != "upload_timeout"):
            await appends.give_up(deps, caller, upload.id)  # nobody could go on with it
        raise
    if said.complete:
        return await _finished(request, upload)
    headers = {"Location": location, "Upload-Limit": _limits_of(deps, upload)} | _progress(upload, complete=False)
    return Response(status_code=201, headers=headers)


@_spoken
async def append(request: Request) -> Response:
    """More of an upload, at its offset."""
    deps: Deps = request.app.state.deps
    said, caller, upload_id = _said(request), caller_of(request), uuid_of(request, "upload")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise InputError(
            "wrong_content_type",
            "More of an upload has a type of its own.",
            suggestion=f"Send Content-Type: {MEDIA_TYPE}.",
        )
    if said.offset is None or said.complete is None:
        raise InputError(
            "invalid_header", "Upload-Offset and Upload-Complete are needed.", suggestion="Upload-Complete is ?0 or ?1."
        )
    digests = digests_in(request, "content-digest")
    content = checked_by(deps.files, content_of(request, deps.settings), digests)
    size = _size(said, said.offset, length_of(request))
    addition = Addition(said.offset, content, size, length_of(request), is_checked=bool(digests))
    try:
        upload = await appends.add(deps, caller, upload_id, addition)
    except StateError as error:
        if error.code == "upload_complete" and length_of(request) != 0:
            raise WrongLength("This upload is complete, and the request brings more.") from error
        raise
    except TooLarge as error:
        await _overrun(request, error)
        raise
    if said.complete:
        return await _finished(request, upload)
    return Response(status_code=204, headers=_progress(upload, complete=False))


@_spoken
async def head(request: Request) -> Response:
    """How much of an upload has come."""
    deps: Deps = request.app.state.deps
    upload = await appends.settled(deps, caller_of(request), uuid_of(request, "upload"))
    if upload.expired_at is not None:
        raise gone(upload)
    headers = _progress(upload, complete=not upload.is_receiving) | {"Cache-Control": "no-store"}
    headers["Upload-Limit"] = _limits_of(deps, upload)
    if upload.size_bytes is not None:
        headers["Upload-Length"] = str(upload.size_bytes)
    return Response(status_code=204, headers=headers)


async def _finished(request: Request, upload: Upload) -> Response:
    deps: Deps = request.app.state.deps
    if upload.size_bytes is not None and not upload.has_all:
        raise WrongLength(
            f"{upload.received_bytes} of {upload.size_bytes} bytes have come, and the upload is to be complete."
        )
    try:
        arrived = await appends.finish(deps, caller_of(request), upload.id)
        response: Response = created(arrived)
    except MillraceError as error:
        response = await problems.known(request, error)
        if response.status_code >= 500:  # worth another try, with no content
            return response
    response.headers.update(_progress(upload, complete=True))
    return response


async def _overrun(request: Request, error: TooLarge) -> None:
    """More has come than was announced: nobody can say what the upload is, so it ends."""
    deps: Deps = request.app.state.deps
    upload = await found(request)
    if upload.is_receiving and upload.size_bytes is not None:
        await arrivals.refuse(deps, caller_of(request), upload, error)
        raise WrongLength(f"More than the {upload.size_bytes} bytes came that were announced.") from error


def _size(said: Said, at: int, brings: int | None) -> int | None:
    """The size of the whole, if the request tells it."""
    by_content = at + brings if said.complete and brings is not None else None
    if said.length is not None and by_content is not None and said.length != by_content:
        raise WrongLength(f"Upload-Length says {said.length}, and with this request the upload has {by_content} bytes.")
    return said.length if said.length is not None else by_content


def _progress(upload: Upload, *, complete: bool) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.received_bytes), "Upload-Complete": f"?{complete:d}"}
    if upload.sha256 is not None:
        headers["Repr-Digest"] = repr_digest(upload.sha256)
    if upload.jobs:
        headers["Job-Location"] = f"/v1/jobs/{upload.jobs[0]['id']}"
    return headers


def _limits_of(deps: Deps, upload: Upload) -> str:
    left_s = None
    if upload.is_receiving and upload.expires_at is not None:
        left_s = (upload.expires_at - datetime.now(UTC)).total_seconds()
    return _limits(deps, max(arrivals.most_bytes(deps, upload), upload.received_bytes), left_s)


def _limits(deps: Deps, max_bytes: int, left_s: float | None) -> str:
    max_age = "" if left_s is None else f", max-age={max(0, math.floor(left_s))}"
    return f"max-size={max_bytes}{max_age}"


def _interim(request: Request, headers: dict[str, str]) -> bool:
    """Tell a client that knows what it means, before its body has come; whether it was told."""
    version = request.headers.get("upload-draft-interop-version")
    if version is not None and version not in INTEROP_VERSIONS:
        return False
    if _TAKES_INTERIM_FOR_FINAL.match(request.headers.get("user-agent", "")):
        return False
    if version is not None:
        headers = headers | {"Upload-Draft-Interop-Version": version}
    send = request.scope.get("extensions", {}).get("millrace.interim")
    return send is not None and send(104, "Upload Resumption Supported", headers)


def _said(request: Request) -> Said:
    complete = {"?1": True, "?0": False}.get(request.headers.get("upload-complete", "").strip())
    return Said(complete, _integer(request, "upload-offset"), _integer(request, "upload-length"))


def _integer(request: Request, field: str) -> int | None:
    given = request.headers.get(field, "").strip()
    return int(given) if re.fullmatch(r"[0-9]{1,15}", given) else None
