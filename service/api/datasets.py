"""/v1/datasets: what jobs have filled, readable while they fill it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from service.api import views
from service.api.auth import caller_of
from service.api.params import limit_of, next_cursor
from service.deps import Deps
from service.domain.dataset import Dataset
from service.domain.errors import InputError
from service.domain.processor import MEDIA_TYPES, ExportFormat
from service.store import datasets, exports
from service.store import rows as stored_rows


async def index(request: Request) -> JSONResponse:
    """GET /v1/datasets: by name."""
    deps: Deps = request.app.state.deps
    limit = limit_of(request)
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await datasets.page(db, after=request.query_params.get("cursor"), limit=limit)
    following = next_cursor(found, limit, lambda item: item.name)
    return JSONResponse({"datasets": [views.dataset(d) for d in found], "next_cursor": following})


async def show(request: Request) -> JSONResponse:
    """GET /v1/datasets/{name}."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return JSONResponse(views.dataset(await datasets.get(db, request.path_params["name"])))


async def rows(request: Request) -> Response:
    """GET /v1/datasets/{name}/rows?cursor=&limit=."""
    deps: Deps = request.app.state.deps
    limit, cursor = limit_of(request), request.query_params.get("cursor")
    async with deps.database.transaction(caller_of(request).account_id) as db:
        dataset = await datasets.get(db, request.path_params["name"])
        page = await stored_rows.page(db, dataset, cursor=cursor, limit=limit)
    # PostgreSQL wrote the rows as JSON; taking them apart here would lose digits of numeric.
    following = "null" if page.cursor is None else f'"{page.cursor}"'
    return Response(f'{{"rows":[{",".join(page.rows)}],"next_cursor":{following}}}', media_type="application/json")


async def export(request: Request) -> Response:
    """GET /v1/datasets/{name}/export?format=csv|ndjson: streamed, as of now."""
    deps: Deps = request.app.state.deps
    account_id = caller_of(request).account_id
    wanted = _format(request)
    async with deps.database.transaction(account_id) as db:
        dataset = await datasets.get(db, request.path_params["name"])
    if dataset.columns is None:
        raise InputError("dataset_empty", "This dataset has no columns yet.", suggestion="Wait for its first rows.")
    return StreamingResponse(
        _bytes(deps, account_id, dataset, wanted),
        media_type=MEDIA_TYPES[wanted],
        headers={"Content-Disposition": f'attachment; filename="{dataset.name}.{wanted}"'},
    )


def _format(request: Request) -> ExportFormat:
    match wanted := request.query_params.get("format", "csv"):
        case "csv" | "ndjson":
            return wanted
    raise InputError("unknown_format", f"There is no export as {wanted!r}.", suggestion="Use format=csv or ndjson.")


async def _bytes(deps: Deps, account_id: UUID, dataset: Dataset, wanted: ExportFormat) -> AsyncIterator[bytes]:
    async with aclosing(exports.pieces(deps.database, account_id, dataset, wanted)) as pieces:
        async for piece in pieces:
            if piece.content:
                yield piece.content
