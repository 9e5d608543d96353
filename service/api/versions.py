"""/v1/datasets/{name}/diff and its kin: two datasets beside each other, and which of them goes by which name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.actions import datasets as actions
from service.api import views
from service.api.auth import caller_of
from service.api.params import json_of


class SwapBody(BaseModel):
    """The body of POST /v1/datasets/{name}/swap."""

    model_config = ConfigDict(extra="forbid")

    other: str = Field(alias="with")


async def diff(request: Request) -> JSONResponse:
    """GET /v1/datasets/{name}/diff?with=&keys=&cursor=&limit=: what would change if the other took its place."""
    raise NotImplementedError


async def swap(request: Request) -> JSONResponse:
    """POST /v1/datasets/{name}/swap {with}: the two change places at once."""
    other = (await json_of(request, SwapBody)).other
    pair = await actions.swap(request.app.state.deps, caller_of(request), request.path_params["name"], other)
    return JSONResponse({"datasets": [views.dataset(one) for one in pair]})


async def delete(request: Request) -> Response:
    """DELETE /v1/datasets/{name}: with its rows; refused while jobs write into it."""
    await actions.delete(request.app.state.deps, caller_of(request), request.path_params["name"])
    return Response(status_code=204)
