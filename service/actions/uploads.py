"""Store files that come in one request, or such a file and the job that reads it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, replace

from service.actions.arrivals import Arrival, Arrived, begin, complete, forget, headed, inspected, most_bytes
from service.actions.job_requests import JobRequest
from service.deps import Deps
from service.domain.upload import Upload
from service.files.port import Received
from service.store import arrivals
from service.store.accounts import Caller

LIVES_S = 3600.0
"""What a process leaves behind that dies over an upload is given up after so long without a sign of life."""

SIGN_OF_LIFE_S = 60.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file on its way in: what is said of it, and its bytes."""

    arrival: Arrival
    content: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is durable and whose row is not complete yet."""

    upload: Upload
    received: Received


async def upload(deps: Deps, caller: Caller, arrival: Arrival, content: AsyncIterable[bytes]) -> Arrived:
    """Store a file, and start its job if it wants one. When this returns it is durable.

    Raises InputError, TooLarge, QuotaError, Transient.
    """
    return await accept(deps, caller, await store(deps, caller, arrival, content))


async def import_file(
    deps: Deps, caller: Caller, arrival: Arrival, request: JobRequest, content: AsyncIterable[bytes]
) -> Arrived:
    """Store a file and queue the job, or flow, that imports it: both are there, or neither is."""
    stored = await store(deps, caller, replace(arrival, wanted=request), content)
    return await accept(deps, caller, stored, keeps_twin=False)


async def store(deps: Deps, caller: Caller, arrival: Arrival, content: AsyncIterable[bytes]) -> Stored:
    """Take a file in; leaves nothing behind when it raises. `accept` or `discard` it."""
    begun = await begin(deps, caller, arrival, keep_s=LIVES_S, sealed=False)
    try:
        body = _showing_life(deps, caller, begun, headed(deps, begun, content))
        return Stored(begun, await deps.files.receive(begun.id, body, most_bytes(deps, begun)))
    except BaseException:
        await forget(deps, caller, begun.id)
        raise


async def accept_all(deps: Deps, caller: Caller, files: Sequence[Stored], *, keeps_twin: bool = True) -> list[Arrived]:
    """Complete files that came together: none of them if there is something against one. Raises as `complete` does."""
    left = list(files)
    try:
        kinds = [await inspected(deps, stored.upload, stored.received) for stored in files]
        arrived = []
        for kind in kinds:
            arrived.append(await accept(deps, caller, left.pop(0), kind=kind, keeps_twin=keeps_twin))
        return arrived
    finally:
        for stored in left:
            await discard(deps, caller, stored)


async def accept(
    deps: Deps, caller: Caller, stored: Stored, *, kind: str | None = None, keeps_twin: bool = True
) -> Arrived:
    """Complete what was stored. If its job was there before, the file goes unless it `keeps_twin`."""
    try:
        arrived = await complete(deps, caller, stored.upload, stored.received, kind=kind, keeps_twin=keeps_twin)
    except BaseException:
        await discard(deps, caller, stored)
        raise
    if arrived.job is not None and not arrived.is_new_job and not keeps_twin:
        await discard(deps, caller, stored)
    return arrived


async def discard(deps: Deps, caller: Caller, stored: Stored) -> None:
    """Take back what was stored."""
    await forget(deps, caller, stored.upload.id)


async def _showing_life(
    deps: Deps, caller: Caller, begun: Upload, content: AsyncIterable[bytes]
) -> AsyncIterator[bytes]:
    due = time.monotonic() + SIGN_OF_LIFE_S
    async for piece in content:
        yield piece
        if time.monotonic() > due:
            due = time.monotonic() + SIGN_OF_LIFE_S
            async with deps.database.transaction(caller.account_id) as db:
                await arrivals.keep_longer(db, begun.id, LIVES_S)
