"""/v1/uploads/{id}/content: the file itself, whole or a range of it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.actions import contents
from service.api import problems
from service.api.auth import caller_of
from service.api.digests import repr_digest
from service.api.stored import found
from service.deps import Deps
from service.domain.errors import StateError
from service.domain.upload import Upload
from service.store.arrivals import gone

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)


async def content(request: Request) -> Response:
    """GET /v1/uploads/{id}/content: the file, with Range, ETag and Content-Disposition."""
    return await sent(request, await found(request))


async def sent(request: Request, upload: Upload) -> Response:
    """What a request for an upload's content is answered. Raises StateError, InputError, Transient."""
    deps: Deps = request.app.state.deps
    if upload.is_receiving:
        raise StateError(
            "upload_incomplete", "This file has not come in full.", suggestion="Send the rest of it first."
        )
    if upload.expired_at is not None or upload.sha256 is None or upload.size_bytes is None:
        raise gone(upload)
    headers = _headers(upload)
    if _names(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers={"ETag": headers["ETag"]})
    if "if-match" in request.headers and not _names(request.headers["if-match"], headers["ETag"]):
        return problems.problem(412, "precondition_failed", "The file is not the one that If-Match names.")
    start, stop = _range(request, upload.size_bytes, headers["ETag"])
    if start >= stop and "range" in request.headers and upload.size_bytes:
        return problems.problem(
            416,
            "range_not_satisfiable",
            f"The file has {upload.size_bytes} bytes.",
            headers={"Content-Range": f"bytes */{upload.size_bytes}"},
        )
    is_part = (start, stop) != (0, upload.size_bytes)
    headers["Content-Length"] = str(stop - start)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{upload.size_bytes}"
    if request.method == "HEAD" or start == stop:
        return Response(status_code=206 if is_part else 200, headers=headers)
    pieces = contents.content(deps, caller_of(request), upload, start, stop)
    first = await anext(pieces)  # before the status is sent, for it may be that the file cannot be read
    return StreamingResponse(_all(first, pieces), 206 if is_part else 200, headers=headers)


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _headers(upload: Upload) -> dict[str, str]:
    assert upload.sha256 is not None
    media_type = upload.media_type or ""
    plain = re.sub(r'[^\x20-\x7e]|["\\]', "_", upload.name)
    return {
        "ETag": f'"{upload.sha256.hex()}"',
        "Repr-Digest": repr_digest(upload.sha256),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Last-Modified": upload.created_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Content-Type": media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(upload.name, safe='')}",
    }


def _names(field: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (field or "").split(",")]
    return etag in tags or "*" in tags


def _range(request: Request, size: int, etag: str) -> tuple[int, int]:
    """From where to before where; several ranges at once are answered with the whole. Empty: not satisfiable."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if not asked or request.headers.get("if-range", etag) != etag:
        return 0, size
    first, last = asked.groups()
    if not first and not last:
        return 0, size
    if not first:
        return max(0, size - int(last)), size if int(last) else 0
    if last and int(last) < int(first):
        return 0, size
    return int(first), min(int(last) + 1, size) if last else size
