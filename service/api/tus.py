"""tus 1.0: creation, creation-with-upload, creation-defer-length, checksum, expiration, termination, concatenation."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from functools import wraps
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.actions import appends
from service.actions.appends import Addition, WrongOffset
from service.actions.arrivals import Arrival, Arrived
from service.api import problems
from service.api.auth import caller_of
from service.api.digests import CHECKSUMS, checked, checksum_in, repr_digest
from service.api.intake import content_of, length_of
from service.api.params import uuid_of, whole
from service.api.wanted import job_wanted
from service.deps import Deps
from service.domain.errors import InputError, MillraceError, NotFound, StateError, TooLarge
from service.domain.upload import Upload
from service.files.growing import too_large
from service.store import uploads
from service.store.arrivals import gone

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination,concatenation"
MEDIA_TYPE = "application/offset+octet-stream"
SPOKEN = {"Tus-Resumable": VERSION}
MOST_METADATA = 8_192
MOST_PARTS = 1_000

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+")

Handler = Callable[[Request], Awaitable[Response]]


def speaks(request: Request) -> bool:
    """Whether a request is meant as tus."""
    return "tus-resumable" in request.headers or _media_type(request) == MEDIA_TYPE


def abilities(max_bytes: int) -> dict[str, str]:
    """What OPTIONS tells of tus."""
    return SPOKEN | {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }


def _spoken(handler: Handler) -> Handler:
    """With `Tus-Resumable` on every answer, errors too; other versions are refused."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            if request.headers.get("tus-resumable") != VERSION:
                raise InputError(
                    "unsupported_version", "Only tus 1.0.0 is spoken here.", suggestion="Send Tus-Resumable: 1.0.0."
                )
            response = await handler(request)
        except MillraceError as error:
            response = await problems.known(request, error)
            if isinstance(error, WrongOffset):
                response.headers["Upload-Offset"] = str(error.offset)
            if response.status_code == 412:
                response.headers["Tus-Version"] = VERSION
        response.headers.update(SPOKEN)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return answer


@_spoken
async def create(request: Request) -> Response:
    """A new upload; with a body, its first bytes; or one that is put together from parts."""
    deps: Deps = request.app.state.deps
    arrival = _arrival(request)
    if arrival.concat is not None and arrival.concat.startswith("final;"):
        return await _join(request, arrival)
    has_content = _media_type(request) == MEDIA_TYPE
    if not has_content and length_of(request):
        raise _wrong_type()
    upload = await appends.create(deps, caller_of(request), arrival)
    headers = {"Location": f"/v1/uploads/{upload.id}"}
    if has_content:
        try:
            upload = await appends.add(deps, caller_of(request), upload.id, _addition(request, 0, upload.size_bytes))
        except (ClientDisconnect, InputError, StateError):
            await appends.give_up(deps, caller_of(request), upload.id)  # its client will not learn where it is
            raise
    return await _told(request, upload, 201, headers)


@_spoken
async def append(request: Request) -> Response:
    """More of an upload, at its offset."""
    deps: Deps = request.app.state.deps
    if _media_type(request) != MEDIA_TYPE:
        raise _wrong_type()
    at = _number(request, "upload-offset")
    if at is None:
        raise _invalid("Upload-Offset is missing.")
    upload_id = uuid_of(request, "upload")
    try:
        upload = await appends.add(
            deps, caller_of(request), upload_id, _addition(request, at, _number(request, "upload-length"))
        )
    except StateError as error:
        return await _refused(request, upload_id, at, error)
    return await _told(request, upload, 204, {})


@_spoken
async def head(request: Request) -> Response:
    """How much of an upload has come."""
    deps: Deps = request.app.state.deps
    upload = await appends.settled(deps, caller_of(request), uuid_of(request, "upload"))
    if upload.expired_at is not None:
        raise gone(upload)
    headers = {"Cache-Control": "no-store"}
    if upload.size_bytes is None and upload.concat in (None, "partial"):
        headers["Upload-Defer-Length"] = "1"
    if upload.size_bytes is not None:
        headers["Upload-Length"] = str(upload.size_bytes)
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    if upload.concat:
        headers["Upload-Concat"] = upload.concat
    return await _told(request, upload, 200, headers)


@_spoken
async def terminate(request: Request) -> Response:
    """Delete an upload."""
    deps: Deps = request.app.state.deps
    upload_id = uuid_of(request, "upload")
    try:
        await appends.give_up(deps, caller_of(request), upload_id)
    except NotFound:
        async with deps.database.transaction(caller_of(request).account_id) as db:
            raise gone(await uploads.get(db, upload_id)) from None
    return Response(status_code=204)


async def _told(request: Request, upload: Upload, status: int, headers: dict[str, str]) -> Response:
    """The answer for an upload as it is now; one that has all its bytes is completed first."""
    arrived = Arrived(upload)
    if upload.is_receiving and upload.has_all and not upload.is_partial:
        arrived = await appends.finish(request.app.state.deps, caller_of(request), upload.id)
        upload = arrived.upload
    headers["Upload-Offset"] = str(upload.received_bytes)
    if upload.is_receiving and upload.expires_at is not None:
        headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    if upload.sha256 is not None:
        headers["Repr-Digest"] = repr_digest(upload.sha256)
    job_id = arrived.job.id if arrived.job else upload.jobs[0]["id"] if upload.jobs else None
    if job_id is not None:
        headers["Job-Location"] = f"/v1/jobs/{job_id}"
    return Response(status_code=status, headers=headers)


async def _join(request: Request, arrival: Arrival) -> Response:
    deps: Deps = request.app.state.deps
    assert arrival.concat is not None
    parts = [_upload_id(url) for url in arrival.concat.removeprefix("final;").split(" ") if url]
    if not parts or len(parts) > MOST_PARTS:
        raise _invalid(f"Upload-Concat: final names no parts, or more than {MOST_PARTS}.")
    if "upload-length" in request.headers or "upload-defer-length" in request.headers:
        raise _invalid("A final upload is as long as its parts: leave Upload-Length out.")
    arrived = await appends.join(deps, caller_of(request), arrival, parts)
    return await _told(request, arrived.upload, 201, {"Location": f"/v1/uploads/{arrived.upload.id}"})


async def _refused(request: Request, upload_id: UUID, at: int, error: StateError) -> Response:
    """What to say of an append to an upload that takes none: mostly its client missed the answer to the last one."""
    deps: Deps = request.app.state.deps
    if error.code not in ("upload_complete", "conflict"):
        raise error
    async with deps.database.transaction(caller_of(request).account_id) as db:
        upload = await uploads.get(db, upload_id)
    if upload.concat is not None and upload.concat.startswith("final"):
        raise InputError("final_upload", "This upload was put together from parts; nothing can be added to it.")
    if at != upload.received_bytes:
        raise WrongOffset(upload.received_bytes, at)
    if length_of(request) == 0:
        return await _told(request, upload, 204, {})
    raise too_large(at) from error


def _arrival(request: Request) -> Arrival:
    given = request.headers.get("upload-metadata")
    metadata = _metadata(given) if given else {}
    concat = request.headers.get("upload-concat")
    if concat is not None and concat != "partial" and not concat.startswith("final;"):
        raise _invalid("Upload-Concat is neither 'partial' nor 'final;' with the parts.")
    is_part = concat == "partial"
    wanted = dict(request.query_params) | {key: metadata[key] for key in ("processor", "dataset") if key in metadata}
    return Arrival(
        "tus",
        name=request.query_params.get("name") or metadata.get("filename") or metadata.get("name"),
        media_type=metadata.get("filetype") or metadata.get("type"),
        size_bytes=None if concat is not None and not is_part else _size(request),
        wanted=None if is_part else job_wanted(request, wanted),
        metadata=given,
        concat=concat,
        heeds_rules=not is_part,
    )


def _size(request: Request) -> int | None:
    size, deferred = _number(request, "upload-length"), request.headers.get("upload-defer-length")
    if deferred is not None and deferred != "1":
        raise _invalid("Upload-Defer-Length can only be 1.")
    if (size is None) == (deferred is None):
        raise _invalid("Either Upload-Length or Upload-Defer-Length: 1 is needed.")
    return size


def _addition(request: Request, at: int, size_bytes: int | None) -> Addition:
    deps: Deps = request.app.state.deps
    content, checksum = content_of(request, deps.settings), checksum_in(request)
    if checksum is not None:
        algorithm, expected = checksum
        mismatch = InputError(
            "checksum_mismatch",
            f"The body's {algorithm} is not that of Upload-Checksum; it was thrown away.",
            suggestion="Send it again from the same offset.",
        )
        content = checked(deps.files, content, CHECKSUMS[algorithm](), expected, mismatch)
    return Addition(
        at, content, size_bytes=size_bytes, brings_bytes=length_of(request), is_checked=checksum is not None
    )


def _metadata(given: str) -> dict[str, str]:
    if len(given) > MOST_METADATA:
        raise TooLarge("too_large", f"Upload-Metadata is over {MOST_METADATA} bytes.")
    found: dict[str, str] = {}
    for pair in given.split(","):
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise _invalid("Upload-Metadata has an empty, unfit or repeated key.")
        try:
            found[key] = b64decode(value, validate=True).decode("utf-8", "replace")
        except binascii.Error:
            raise _invalid(f"Upload-Metadata has a value that is not base64: {key}.") from None
    return found


def _upload_id(url: str) -> UUID:
    last = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    try:
        return UUID(last)
    except ValueError:
        raise NotFound("upload", last) from None


def _number(request: Request, field: str) -> int | None:
    if (given := request.headers.get(field)) is None:
        return None
    number = whole(given) if given.isascii() else None
    if number is None or number >= 2**63:
        raise _invalid(f"{field.title()} is no whole number.")
    return number


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _invalid(message: str) -> InputError:
    return InputError("invalid_header", message, suggestion="See tus.io, Resumable Upload Protocol 1.0.0.")


def _wrong_type() -> InputError:
    return InputError(
        "wrong_content_type",
        "The bytes of a tus upload have another type.",
        suggestion=f"Send Content-Type: {MEDIA_TYPE}.",
    )
