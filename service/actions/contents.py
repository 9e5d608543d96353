"""Read what is kept of an upload. The first to find it damaged puts it into quarantine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from service.deps import Deps
from service.domain.errors import InputError
from service.domain.upload import Upload
from service.files.frames import damaged
from service.files.port import File
from service.store import seals
from service.store.accounts import Caller

log = structlog.get_logger()


async def content(deps: Deps, caller: Caller, upload: Upload, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    """The content of a complete upload from `start` to before `stop`.

    Raises NotFound, InputError `upload_damaged` before a wrong byte is given, Transient.
    """
    assert upload.size_bytes is not None
    if upload.damaged_at is not None:
        raise damaged()
    try:
        async with aclosing(deps.files.read(File(upload.id, upload.seal), upload.size_bytes, start, stop)) as pieces:
            async for piece in pieces:
                yield piece
    except InputError as error:
        if error.code == "upload_damaged":
            async with deps.database.transaction(caller.account_id) as db:
                await seals.mark_damaged(db, upload.id)
            log.error("upload.damaged", upload_id=str(upload.id))
        raise
