"""/v1/datasets/{name}/files: the files that came with a dataset's rows, such as a deck's pictures and sounds."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api.auth import caller_of
from service.api.downloads import sent
from service.api.params import limit_of, next_cursor
from service.deps import Deps
from service.domain.attachment import Attachment
from service.store import attachments, datasets, uploads
from service.store.arrivals import gone


async def index(request: Request) -> JSONResponse:
    """GET /v1/datasets/{name}/files: by name."""
    deps: Deps = request.app.state.deps
    limit, after = limit_of(request), request.query_params.get("cursor")
    async with deps.database.transaction(caller_of(request).account_id) as db:
        dataset = await datasets.get(db, request.path_params["name"])
        found = await attachments.page(db, dataset.id, after=after, limit=limit)
    following = next_cursor(found, limit, lambda item: item.name)
    return JSONResponse({"files": [_shown(dataset.name, file) for file in found], "next_cursor": following})


async def content(request: Request) -> Response:
    """GET /v1/datasets/{name}/files/{file}: the file itself, with Range and ETag."""
    deps: Deps = request.app.state.deps
    name = unicodedata.normalize("NFC", request.path_params["file"])
    async with deps.database.transaction(caller_of(request).account_id) as db:
        dataset = await datasets.get(db, request.path_params["name"])
        upload = await uploads.get(db, await attachments.upload_of(db, dataset.id, name))
    if upload.removed_at is not None:
        raise gone(upload)
    return await sent(request, upload)


def _shown(dataset: str, file: Attachment) -> dict[str, object]:
    return {
        "name": file.name,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256.hex(),
        "media_type": file.media_type,
        "upload_id": str(file.upload_id),
        "job_id": str(file.job_id),
        "links": {"content": f"/v1/datasets/{dataset}/files/{quote(file.name, safe='')}"},
    }
