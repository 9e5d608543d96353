"""POST /v1/uploads with `{"url": …}`: a file that Millrace is to fetch."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.actions.arrivals import Arrival
from service.actions.fetches import fetch_url
from service.api.auth import caller_of
from service.api.digests import digests_in
from service.api.intake import length_of, name_of
from service.api.stored import created
from service.api.wanted import job_wanted
from service.deps import Deps

LIMIT = 16 * 1024


class Asked(BaseModel):
    """What to fetch; with anything beside these the body is a file of JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str
    name: str | None = None


async def asked_for(request: Request) -> Asked | None:
    """What a request asks to be fetched; None if its body is a file itself, which can be read all the same."""
    is_json = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    if not is_json or name_of(request) or not 0 < (length_of(request) or 0) <= LIMIT:
        return None
    deps: Deps = request.app.state.deps
    try:
        async with asyncio.timeout(deps.settings.upload_idle_s):
            return Asked.model_validate_json(await request.body())  # Starlette keeps it for who reads it next
    except (ValidationError, TimeoutError):
        return None


async def fetch(request: Request, asked: Asked) -> Response:
    """201 once the file is here."""
    deps: Deps = request.app.state.deps
    wanted = job_wanted(request, request.query_params)
    arrival = Arrival("url", name=asked.name, wanted=wanted, digests=digests_in(request, "repr-digest"))
    return created(await fetch_url(deps, caller_of(request), asked.url, arrival))
