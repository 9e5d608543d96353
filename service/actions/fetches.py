"""Store a file that is fetched from elsewhere."""

from __future__ import annotations

from dataclasses import replace

from service.actions.arrivals import Arrival, Arrived
from service.actions.uploads import upload
from service.deps import Deps
from service.sources.fetching import opened
from service.store.accounts import Caller


async def fetch_url(deps: Deps, caller: Caller, url: str, arrival: Arrival) -> Arrived:
    """Fetch a file and store it as `arrival` says; its name and type are those it has there where none are given.

    Raises as `sources.fetching.opened` and `uploads.upload` do.
    """
    async with opened(url, deps.settings) as found:
        arrival = replace(
            arrival,
            protocol="url",
            name=arrival.name or found.name,
            media_type=arrival.media_type or found.media_type,
            size_bytes=found.size_bytes or None,
        )
        return await upload(deps, caller, arrival, found.content)
