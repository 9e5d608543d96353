"""Uploads that come in several requests: add to one at an offset, ask for the offset, finish, join, give up."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from service.actions import admission
from service.actions.arrivals import Arrival, Arrived, begin, complete, forget, headed, most_bytes, refuse
from service.actions.transfers import superseded
from service.deps import Deps
from service.domain.errors import InputError, StateError, Transient
from service.domain.upload import Upload
from service.files.growing import too_large
from service.files.port import Durable, File, Received
from service.store import arrivals, uploads
from service.store.accounts import Caller

RESUMABLE = ("tus", "resumable")

BUSY_S = 10.0
"""How long a request waits for an older one in another process to let go of the part. Mostly it takes half a second."""


class WrongOffset(StateError):
    """The request begins elsewhere than the upload ends."""

    def __init__(self, offset: int, asked: int) -> None:
        super().__init__(
            "mismatching_offset",
            f"This upload goes on at byte {offset}, and the request begins at {asked}.",
            suggestion="Ask for the offset with HEAD and go on from there.",
        )
        self.offset, self.asked = offset, asked


class WrongLength(InputError):
    """The size was told before, differently, or is less than what has come."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "inconsistent_length", message, suggestion="Tell the size of the whole file, the same each time."
        )


@dataclass(frozen=True, slots=True)
class Addition:
    """What one request brings: content from offset `at`. With `is_checked` it counts as a whole or not at all."""

    at: int
    content: AsyncIterable[bytes]
    size_bytes: int | None = None
    brings_bytes: int | None = None
    is_last: bool = False
    is_checked: bool = False


async def create(deps: Deps, caller: Caller, arrival: Arrival) -> Upload:
    """An empty upload to add to. Raises as `begin` does."""
    return await begin(deps, caller, arrival, keep_s=deps.settings.keep_unfinished_s)


async def add(deps: Deps, caller: Caller, upload_id: UUID, addition: Addition) -> Upload:
    """Add to an upload; the newest request wins. What came before a cut is kept.

    Raises NotFound, WrongOffset, WrongLength, TooLarge, StateError, InputError, Transient, and what the content raises.
    """
    return await deps.transfers.write(upload_id, lambda: _add(deps, caller, upload_id, addition))


async def settled(deps: Deps, caller: Caller, upload_id: UUID) -> Upload:
    """The upload at rest: a request that adds to it has ended, and the offset is one to go on from. Raises NotFound."""
    upload = await _get(deps, caller, upload_id)
    if not upload.is_receiving or upload.protocol not in RESUMABLE or upload.concat not in (None, "partial"):
        return upload
    return await deps.transfers.write(upload_id, lambda: _settle(deps, caller, upload_id))


async def finish(deps: Deps, caller: Caller, upload_id: UUID) -> Arrived:
    """Complete an upload of which every byte is there. Raises as `complete` does."""
    return await deps.transfers.finish(upload_id, lambda: _finish(deps, caller, upload_id))


async def join(deps: Deps, caller: Caller, arrival: Arrival, part_ids: Sequence[UUID]) -> Arrived:
    """Put parts together to an upload; the parts are given up. Raises NotFound, StateError, and as `complete` does."""
    parts = [await _whole_part(deps, caller, part_id) for part_id in part_ids]
    upload = await begin(deps, caller, arrival, keep_s=deps.settings.keep_unfinished_s)
    try:
        most = most_bytes(deps, upload)
        admission.check_size(sum(part.received_bytes for part in parts), most)
        pieces = [(File(part.id, part.seal), part.received_bytes) for part in parts]
        received = await deps.files.concat(File(upload.id, upload.seal), pieces, most)
        arrived = await complete(deps, caller, upload, received, parts=list(dict.fromkeys(part_ids)))
    except BaseException:
        await forget(deps, caller, upload.id)
        raise
    for part in parts:
        await deps.files.remove(part.id)
    return arrived


async def give_up(deps: Deps, caller: Caller, upload_id: UUID) -> None:
    """Delete an upload, finished or not. Raises NotFound, StateError: a job needs it."""
    await deps.transfers.interrupt(upload_id)
    async with deps.database.transaction(caller.account_id) as db:
        removed = await uploads.remove(db, upload_id)
    await deps.files.remove(removed.id)


async def _add(deps: Deps, caller: Caller, upload_id: UUID, addition: Addition) -> Upload:
    upload = await _take_turn(deps, caller, upload_id)
    try:
        if addition.at != upload.received_bytes:
            raise WrongOffset(upload.received_bytes, addition.at)
        upload = await _told_size(deps, caller, upload, addition)
        offset = await _append(deps, caller, upload, addition)
    finally:
        await _close(deps, caller, upload)
    return replace(upload, received_bytes=offset, is_open=False)


async def _append(deps: Deps, caller: Caller, upload: Upload, addition: Addition) -> int:
    if addition.brings_bytes == 0:
        return addition.at
    most = most_bytes(deps, upload)
    if addition.brings_bytes is not None and addition.at + addition.brings_bytes > most:
        raise too_large(most)
    await admission.check_space(deps, addition.brings_bytes)
    content = _moving(deps, upload.id, addition.content)
    if addition.at == 0:
        content = headed(deps, upload, content)
    file, durable = File(upload.id, upload.seal), _recorder(deps, caller, upload)
    if not addition.is_checked:
        return await deps.files.append(file, addition.at, content, max_bytes=most, durable=durable)
    offset = await deps.files.append(file, addition.at, content, max_bytes=most, provisional=True)
    await durable(offset)
    return offset


async def _moving(deps: Deps, upload_id: UUID, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    deps.transfers.waits(upload_id)
    async for piece in content:
        deps.transfers.works(upload_id)
        yield piece
        deps.transfers.waits(upload_id)
    deps.transfers.works(upload_id)


def _recorder(deps: Deps, caller: Caller, upload: Upload) -> Durable:
    async def record(offset: int) -> None:
        async with deps.database.transaction(caller.account_id) as db:
            if not await arrivals.record(db, upload.id, upload.writer, offset, deps.settings.keep_unfinished_s):
                raise superseded()
            if upload.size_bytes is None:
                await admission.check_bytes(deps, db, caller)

    return record


async def _told_size(deps: Deps, caller: Caller, upload: Upload, addition: Addition) -> Upload:
    size = addition.size_bytes
    if size is None or size == upload.size_bytes:
        return upload
    if upload.size_bytes is not None:
        raise WrongLength(f"This upload was announced with {upload.size_bytes} bytes, and now with {size}.")
    if size < upload.received_bytes:
        raise WrongLength(f"{upload.received_bytes} bytes have come already, more than the {size} that are announced.")
    admission.check_size(size, most_bytes(deps, upload))
    async with deps.database.transaction(caller.account_id) as db:
        if not await arrivals.tell_size(db, upload.id, size):
            raise superseded()
        await admission.check_bytes(deps, db, caller)
    return replace(upload, size_bytes=size)


async def _settle(deps: Deps, caller: Caller, upload_id: UUID) -> Upload:
    upload = await _get(deps, caller, upload_id)
    if upload.is_receiving and upload.is_open:
        upload = await _take_turn(deps, caller, upload_id)
        await _close(deps, caller, upload)
    return upload


async def _take_turn(deps: Deps, caller: Caller, upload_id: UUID) -> Upload:
    """Become the request whose word counts, and find what one that died has left on the disk."""
    async with deps.database.transaction(caller.account_id) as db:
        upload, was_open = await arrivals.take_turn(db, upload_id)
        if upload.protocol not in RESUMABLE or upload.concat not in (None, "partial"):
            raise StateError("conflict", "Nothing can be added to this upload by further requests.")
    deps.transfers.has_turn(upload_id, upload.writer)
    if not was_open:
        return upload
    offset = await _recovered(deps, upload)
    if offset > upload.received_bytes:
        await _recorder(deps, caller, upload)(offset)
    return replace(upload, received_bytes=offset)


async def _recovered(deps: Deps, upload: Upload) -> int:
    give_up_at = asyncio.get_running_loop().time() + BUSY_S
    while True:
        try:
            return await deps.files.recover(File(upload.id, upload.seal), upload.received_bytes)
        except StateError as error:
            if error.code != "upload_busy":
                raise
            if asyncio.get_running_loop().time() > give_up_at:
                raise Transient("busy", "Another request has this upload in its hands.", retry_after_s=1) from error
        await asyncio.sleep(0.05)  # the other one learns of us by looking into the database


async def _close(deps: Deps, caller: Caller, upload: Upload) -> None:
    async with deps.database.transaction(caller.account_id) as db:
        await arrivals.close(db, upload.id, upload.writer)


async def _finish(deps: Deps, caller: Caller, upload_id: UUID) -> Arrived:
    upload = await _get(deps, caller, upload_id)
    if not upload.is_receiving:
        if upload.state == "complete" and upload.expired_at is None:
            return Arrived(upload)
        raise arrivals.gone(upload)
    try:
        received = await _kept(deps, upload)
        return await complete(deps, caller, upload, received)
    except InputError as error:
        await refuse(deps, caller, upload, error)
        raise


async def _kept(deps: Deps, upload: Upload) -> Received:
    file = File(upload.id, upload.seal)
    if upload.received_bytes > 0:
        return await deps.files.finish(file, upload.received_bytes)
    if upload.wanted is not None:
        raise InputError("file_empty", "The file is empty.", suggestion="Send a file with content.")
    return Received(file, 0, hashlib.sha256().digest())  # nothing is kept of an empty file


async def _whole_part(deps: Deps, caller: Caller, part_id: UUID) -> Upload:
    part = await settled(deps, caller, part_id)
    if not part.is_partial or not part.is_receiving:
        raise StateError("conflict", f"Upload {part_id} is no part that could be joined.")
    if not part.has_all:
        raise StateError(
            "upload_incomplete", f"Part {part_id} has not come in full.", suggestion="Send the rest of it first."
        )
    return part


async def _get(deps: Deps, caller: Caller, upload_id: UUID) -> Upload:
    async with deps.database.transaction(caller.account_id) as db:
        return await uploads.get(db, upload_id)
