"""/v1/datasets/{name}/diff and its kin: two datasets beside each other, and which of them goes by which name."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import datasets as actions
from service.api import views
from service.api.auth import caller_of
from service.api.params import json_of, limit_of
from service.deps import Deps
from service.domain.dataset import Dataset
from service.domain.errors import InputError
from service.store import datasets, diffs
from service.store.database import Connection


class SwapBody(BaseModel):
    """The body of POST /v1/datasets/{name}/swap."""

    model_config = ConfigDict(extra="forbid")

    other: str = Field(alias="with")


async def diff(request: Request) -> Response:
    """GET /v1/datasets/{name}/diff?with=&keys=&cursor=&limit=: what would change if the other took its place."""
    deps: Deps = request.app.state.deps
    limit, cursor = limit_of(request), request.query_params.get("cursor")
    async with deps.database.transaction(caller_of(request).account_id, isolation="repeatable_read") as db:
        one = await _filled(db, request.path_params["name"])
        other = await _filled(db, _with(request))
        keys = _keys(request, one, other)
        counts = None if cursor else dict(await diffs.counts(db, one, other, keys))
        page = await diffs.page(db, one, other, keys, cursor=cursor, limit=limit)
    # PostgreSQL wrote the rows as JSON; taking them apart here would lose digits of numeric.
    head = json.dumps({"keys": keys, "counts": counts, "next_cursor": page.cursor})
    return Response(f'{head[:-1]}, "rows": [{",".join(page.rows)}]}}', media_type="application/json")


async def swap(request: Request) -> JSONResponse:
    """POST /v1/datasets/{name}/swap {with}: the two change places at once."""
    other = (await json_of(request, SwapBody)).other
    pair = await actions.swap(request.app.state.deps, caller_of(request), request.path_params["name"], other)
    return JSONResponse({"datasets": [views.dataset(one) for one in pair]})


async def delete(request: Request) -> Response:
    """DELETE /v1/datasets/{name}: with its rows; refused while jobs write into it."""
    await actions.delete(request.app.state.deps, caller_of(request), request.path_params["name"])
    return Response(status_code=204)


async def _filled(db: Connection, name: str) -> Dataset:
    dataset = await datasets.get(db, name)
    if dataset.columns is None:
        raise InputError(
            "dataset_empty", f"Dataset {name!r} has no columns yet.", suggestion="Wait for its first rows."
        )
    return dataset


def _with(request: Request) -> str:
    if name := request.query_params.get("with"):
        return name
    raise InputError(
        "missing_parameter", "The parameter `with` is missing.", suggestion="For example: ?with=contacts_2"
    )


def _keys(request: Request, one: Dataset, other: Dataset) -> list[str]:
    """The keys asked for, or those that one of the datasets has."""
    given = request.query_params.get("keys", "")
    keys = [name.strip() for name in given.split(",") if name.strip()] or list(one.keys or other.keys or ())
    if keys:
        return list(dict.fromkeys(keys))
    raise InputError(
        "missing_parameter",
        "Neither dataset has a key, so `keys` has to say which rows belong together.",
        suggestion="For example: ?keys=id",
    )
