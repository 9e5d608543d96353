"""Uploads by HTML forms: every file of the form, with the fields that come before or after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.requests import Request

from service.actions import uploads as actions
from service.actions.arrivals import Arrival, Arrived, by_rule, request_to_json
from service.actions.job_requests import JobRequest, prepare
from service.actions.uploads import Stored
from service.api.auth import caller_of
from service.api.digests import checked_by, digests_in
from service.api.intake import content_of
from service.api.multipart import parts_of
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.recognition import AUTO
from service.domain.upload import label

Wanted = Callable[[Request, Mapping[str, str]], JobRequest | None]


async def take_in(request: Request, boundary: bytes, wanted_by: Wanted, *, keeps_twin: bool = True) -> list[Arrived]:
    """Store every file of a form and start their jobs; none is kept if there is something against one.

    `wanted_by` says which job the URL's parameters and the fields ask for. Raises InputError, TooLarge, QuotaError.
    """
    deps: Deps = request.app.state.deps
    caller, fields = caller_of(request), dict(request.query_params)
    stored: list[Stored] = []
    try:
        content = checked_by(deps.files, content_of(request, deps.settings), digests_in(request, "content-digest"))
        async for part in parts_of(content, boundary):
            if part.file_name is None:
                fields[part.name] = await part.text()
            elif part.file_name or part.media_type:  # a browser sends an empty one for a field that was left empty
                arrival = Arrival("multipart", part.file_name, part.media_type, heeds_rules=False)
                stored.append(await actions.store(deps, caller, arrival, part.content))
        if not stored:
            raise InputError("file_empty", "The form has no file.", suggestion="Add a file field to it.")
        wanted = wanted_by(request, fields)
        if wanted is not None and wanted.processor != AUTO:
            prepare(deps.catalog, wanted)
        if len(stored) > 1 and wanted is not None and (wanted.idempotency_key or wanted.dedupe_key):
            raise InputError(
                "invalid_idempotency_key",
                "An Idempotency-Key or dedupe_key is for one job, and this form has several files.",
                suggestion="Send the files one by one.",
            )
        named = fields.get("name") if len(stored) == 1 else None
        ready = [await _ready(deps, request, each, wanted, named) for each in stored]
    except BaseException:
        for each in stored:
            await actions.discard(deps, caller, each)
        raise
    return await actions.accept_all(deps, caller, ready, keeps_twin=keeps_twin)


async def _ready(deps: Deps, request: Request, stored: Stored, wanted: JobRequest | None, named: str | None) -> Stored:
    upload = stored.upload if named is None else replace(stored.upload, name=label(named))
    if wanted is None:
        async with deps.database.transaction(caller_of(request).account_id) as db:
            wanted = await by_rule(db, upload.name, upload.media_type)
    return replace(stored, upload=replace(upload, wanted=None if wanted is None else request_to_json(wanted)))
