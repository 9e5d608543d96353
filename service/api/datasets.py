"""/v1/datasets: what jobs have filled, readable while they fill it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from service.api import views
from service.api.auth import caller_of
from service.api.params import choice_of, limit_of, next_cursor
from service.apkg import exporting
from service.deps import Deps
from service.domain.dataset import Dataset, RowCount
from service.domain.errors import InputError
from service.domain.processor import MEDIA_TYPES, ExportFormat, Piece
from service.domain.row_filter import Wanted, wanted
from service.store import datasets, exports
from service.store import rows as stored_rows


async def index(request: Request) -> JSONResponse:
    """GET /v1/datasets?rows=count: by name."""
    deps: Deps = request.app.state.deps
    limit, counts = limit_of(request), dict[UUID, RowCount]()
    has_counts = choice_of(request, "rows", "leave", "count") == "count"
    async with deps.database.transaction(caller_of(request).account_id) as db:
        found = await datasets.page(db, after=request.query_params.get("cursor"), limit=limit)
        if has_counts:
            counts = await datasets.row_counts(db, found)
    following = next_cursor(found, limit, lambda item: item.name)
    shown = [views.dataset(dataset, counts.get(dataset.id)) for dataset in found]
    return JSONResponse({"datasets": shown, "next_cursor": following})


async def show(request: Request) -> JSONResponse:
    """GET /v1/datasets/{name}."""
    deps: Deps = request.app.state.deps
    async with deps.database.transaction(caller_of(request).account_id) as db:
        return JSONResponse(views.dataset(await datasets.get(db, request.path_params["name"])))


async def rows(request: Request) -> Response:
    """GET /v1/datasets/{name}/rows?where=&sort=&job=&columns=&cursor=&limit=."""
    deps: Deps = request.app.state.deps
    limit, cursor = limit_of(request), request.query_params.get("cursor")
    # Of one moment: a replace that is shown between two looks would be looked for in the table of before.
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        dataset = await datasets.get(db, request.path_params["name"])
        page = await stored_rows.page(
            db, dataset, cursor=cursor, limit=limit, wanted=_wanted(request, dataset), timeout_s=deps.settings.query_s
        )
    # PostgreSQL wrote the rows as JSON; taking them apart here would lose digits of numeric.
    following = "null" if page.cursor is None else f'"{page.cursor}"'
    return Response(f'{{"rows":[{",".join(page.rows)}],"next_cursor":{following}}}', media_type="application/json")


async def export(request: Request) -> Response:
    """GET /v1/datasets/{name}/export?format=csv|ndjson|parquet|apkg&where=&job=&columns=&formulas=: as of now."""
    deps: Deps = request.app.state.deps
    account_id = caller_of(request).account_id
    form, as_is = _format(request), choice_of(request, "formulas", "neutralise", "keep") == "keep"
    if "sort" in request.query_params:
        raise InputError(
            "invalid_sort", "An export is in the order of its jobs and rows.", suggestion="Leave sort out."
        )
    async with deps.database.transaction(account_id) as db:
        dataset = await datasets.get(db, request.path_params["name"])
    if dataset.columns is None:
        raise InputError("dataset_empty", "This dataset has no columns yet.", suggestion="Wait for its first rows.")
    chosen, first = _wanted(request, dataset), Piece(b"")
    if form == "apkg":
        pieces = exporting.pieces(deps.database, deps.files, account_id, dataset, chosen)
        first = await anext(pieces)  # before the status is sent, for it may be that the rows are no cards
    else:
        pieces = exports.pieces(deps.database, account_id, dataset, form, chosen, as_is=as_is)
    return StreamingResponse(
        _bytes(first, pieces),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{dataset.name}.{form}"'},
    )


def _wanted(request: Request, dataset: Dataset) -> Wanted:
    given = request.query_params
    return wanted(
        dataset.columns or (),
        where=given.getlist("where"),
        sort=given.get("sort"),
        names=given.get("columns"),
        job=given.get("job"),
    )


def _format(request: Request) -> ExportFormat:
    match form := request.query_params.get("format", "csv"):
        case "csv" | "ndjson" | "parquet" | "apkg":
            return form
    raise InputError(
        "unknown_format", f"There is no export as {form!r}.", suggestion="Use format=csv, ndjson, parquet or apkg."
    )


async def _bytes(first: Piece, found: AsyncGenerator[Piece, None]) -> AsyncIterator[bytes]:
    async with aclosing(found) as pieces:
        if first.content:
            yield first.content
        async for piece in pieces:
            if piece.content:
                yield piece.content
