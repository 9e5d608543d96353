"""How an upload begins and ends: reserved before its first byte, and complete, with its job, in one transaction."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from service.actions import admission, flows
from service.actions.flows import FlowRequest
from service.actions.job_requests import JobRequest, Prepared, check_upload, prepare
from service.actions.jobs import Replayed, write, written
from service.actions.recognising import recognised
from service.actions.unpacked import check_unpacked
from service.deps import Deps
from service.domain.errors import InputError
from service.domain.filetype import HEAD_BYTES, kind_of
from service.domain.flow import Flow
from service.domain.ids import new_id
from service.domain.job import Job
from service.domain.processor import Processor
from service.domain.recognition import AUTO
from service.domain.upload import Protocol, Upload, label, suffix_of
from service.files.port import Received
from service.store import acting, arrivals, rules, uploads
from service.store.accounts import Caller
from service.store.arrivals import NewUpload
from service.store.database import Connection


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a client says of a file before its bytes. `wanted` is the job to start when it is complete."""

    protocol: Protocol
    name: str | None = None
    media_type: str | None = None
    size_bytes: int | None = None
    wanted: JobRequest | None = None
    metadata: str | None = None
    concat: str | None = None
    digests: Mapping[str, bytes] = field(default_factory=dict)
    heeds_rules: bool = True


@dataclass(frozen=True, slots=True)
class Arrived:
    """A complete upload, and the job that it started or joined, or the flow, of an archive with several files."""

    upload: Upload
    job: Job | None = None
    is_new_job: bool = False
    flow: Flow | None = None


async def begin(deps: Deps, caller: Caller, arrival: Arrival, *, keep_s: float, sealed: bool = True) -> Upload:
    """Reserve room for a file and write its row. Raises InputError, TooLarge, QuotaError, Transient: no space."""
    name, upload_id = label(arrival.name), new_id()
    _processor(deps, arrival.wanted)  # before anything else
    await admission.check_space(deps, arrival.size_bytes)
    seal = deps.files.new(upload_id).seal if sealed else None
    async with deps.transfers.counting(caller.account_id), deps.database.transaction(caller.account_id) as db:
        wanted = arrival.wanted
        if wanted is None and arrival.heeds_rules:
            wanted = await by_rule(db, name, arrival.media_type)
        processor = _processor(deps, wanted)
        admission.check_size(arrival.size_bytes, admission.max_bytes(deps, processor))
        admission.check_type(deps, name, None, processor)
        acting.about(upload_id)
        new = NewUpload(
            id=upload_id,
            account_id=caller.account_id,
            name=name,
            size_bytes=arrival.size_bytes,
            media_type=arrival.media_type,
            seal=seal,
            protocol=arrival.protocol,
            metadata=arrival.metadata,
            concat=arrival.concat,
            digests={algorithm: b64encode(digest).decode() for algorithm, digest in arrival.digests.items()} or None,
            wanted=None if wanted is None else request_to_json(wanted),
        )
        upload = await arrivals.begin(db, new, keep_s)
        await admission.check_quota(deps, db, caller)
    return upload


def most_bytes(deps: Deps, upload: Upload) -> int:
    """How large this upload may become: its size if that is known, else what is allowed."""
    limit = admission.max_bytes(deps, _processor(deps, request_from_json(upload.wanted)))
    return limit if upload.size_bytes is None else upload.size_bytes


async def headed(deps: Deps, upload: Upload, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes from the beginning of a file, refused at once if they are of a type that is not taken."""
    processor = _processor(deps, request_from_json(upload.wanted))
    head, looked = b"", False
    async for piece in content:
        if not looked:
            head += piece[: HEAD_BYTES - len(head)]
            if looked := len(head) == HEAD_BYTES:
                admission.check_type(deps, upload.name, kind_of(head), processor)
        yield piece


async def complete(
    deps: Deps,
    caller: Caller,
    upload: Upload,
    received: Received,
    *,
    kind: str | None = None,
    parts: Sequence[UUID] = (),
    keeps_twin: bool = True,
) -> Arrived:
    """Check a file that has come in full, then note it and start its job: both, or neither.

    `kind` is what `inspected` said if that was asked before. `parts` are the uploads that it was put together from;
    they are given up. Where its job was there before, by its idempotency or dedupe key, the file is noted if it
    `keeps_twin`, else left to the caller; then the upload is as it was before. Raises InputError `digest_mismatch`,
    `unsupported_type`, `malware_found`: the caller gives the file up; QuotaError, StateError, Transient.
    """
    kind = kind or await inspected(deps, upload, received)
    wanted = request_from_json(upload.wanted)
    found = None if wanted is None else await recognised(deps, received, upload.name, wanted)
    prepared = _prepared(deps, found) if isinstance(found, JobRequest) else None

    async def note(db: Connection) -> Upload:
        done = await arrivals.complete(
            db,
            upload.id,
            size_bytes=received.size_bytes,
            sha256=received.sha256,
            seal=received.file.seal,
            kind=kind,
            name=upload.name,
        )
        if done is None:
            raise arrivals.not_receiving(await uploads.get(db, upload.id))
        if parts:
            await uploads.expire(db, parts, "joined")
        if upload.size_bytes is None:
            await admission.check_bytes(deps, db, caller)
        return done

    if isinstance(found, FlowRequest):
        flows.check(deps.catalog, found.over(upload.id))
    if prepared is None:
        async with deps.transfers.counting(caller.account_id), deps.database.transaction(caller.account_id) as db:
            stored = await note(db)
        if isinstance(found, FlowRequest):
            flow, _ = await flows.submit(deps, caller, found.over(upload.id), None)
            return Arrived(stored, flow=flow)
        return Arrived(stored)
    async with deps.transfers.counting(caller.account_id):
        job, is_new = await _with_job(deps, caller, prepared, received, note)
    if not keeps_twin:
        return Arrived(upload, job, is_new)
    async with deps.database.transaction(caller.account_id) as db:
        stored = await uploads.get(db, upload.id) if is_new else await note(db)
        return Arrived(stored, job, is_new)


async def inspected(deps: Deps, upload: Upload, received: Received) -> str:
    """The kind of a file that has come in full, once type, digests and the scanner have nothing against it."""
    processor = _processor(deps, request_from_json(upload.wanted))
    kind = kind_of(await _head(deps, received))
    admission.check_type(deps, upload.name, kind, processor)
    await _check_digests(deps, upload, received)
    await check_unpacked(deps, received, kind)
    await admission.scan(deps, received.file, received.size_bytes, upload.name)
    return kind


async def _with_job(
    deps: Deps,
    caller: Caller,
    prepared: Prepared,
    received: Received,
    note: Callable[[Connection], Awaitable[Upload]],
) -> tuple[Job, bool]:
    job_id = new_id()

    async def write_both(db: Connection) -> UUID:
        stored = await note(db)
        reads = stored if prepared.processor.reads_file else None
        live_id = await write(db, caller, prepared, job_id, reads, received.sha256)
        if live_id != job_id:
            raise Replayed(live_id)
        return job_id

    return await written(deps, caller, job_id, write_both)


async def refuse(deps: Deps, caller: Caller, upload: Upload, error: InputError) -> None:
    """Give up a file that has come and is not taken; its row says why."""
    problem = {"code": error.code, "message": error.message, "suggestion": error.suggestion or ""}
    async with deps.database.transaction(caller.account_id) as db:
        await arrivals.refuse(db, upload.id, problem)
    await deps.files.remove(upload.id)


async def forget(deps: Deps, caller: Caller, upload_id: UUID) -> None:
    """Take back an upload that its client was told nothing of."""
    async with deps.database.transaction(caller.account_id) as db:
        await arrivals.forget(db, upload_id)
    await deps.files.remove(upload_id)


def request_to_json(asked: JobRequest) -> Mapping[str, Any]:
    """A job to start later, as its upload keeps it."""
    said = {name: getattr(asked, name) for name in _KEPT}
    return said | {"run_at": None if asked.run_at is None else asked.run_at.isoformat()}


def request_from_json(said: Mapping[str, Any] | None) -> JobRequest | None:
    """What `request_to_json` wrote."""
    if said is None:
        return None
    run_at = said.get("run_at")
    return JobRequest(**{**said, "run_at": None if run_at is None else datetime.fromisoformat(run_at)})


_KEPT = (
    *("processor", "dataset", "input", "options", "priority", "metadata"),
    *("dedupe_key", "idempotency_key", "again"),
)


def _processor(deps: Deps, wanted: JobRequest | None) -> Processor | None:
    prepared = _prepared(deps, wanted)
    return None if prepared is None else prepared.processor


def _prepared(deps: Deps, wanted: JobRequest | None) -> Prepared | None:
    if wanted is None or wanted.processor == AUTO:
        return None
    prepared = prepare(deps.catalog, wanted)
    check_upload(prepared.processor, UUID(int=0))
    return prepared


async def by_rule(db: Connection, name: str, media_type: str | None) -> JobRequest | None:
    """The job that one of the account's rules has for such a file."""
    types = [suffix_of(name), (media_type or "").partition(";")[0].strip().lower()]
    rule = await rules.find(db, [word for word in types if word])
    return (
        None if rule is None else JobRequest(rule.processor, rule.dataset, options=rule.options, priority=rule.priority)
    )


async def _head(deps: Deps, received: Received) -> bytes:
    stop = min(HEAD_BYTES, received.size_bytes)
    head = b""
    if not stop:
        return head
    async with aclosing(deps.files.read(received.file, received.size_bytes, 0, stop)) as pieces:
        async for piece in pieces:
            head += piece
    return head


async def _check_digests(deps: Deps, upload: Upload, received: Received) -> None:
    for algorithm, expected in (upload.digests or {}).items():
        if algorithm == "sha-256":
            found = received.sha256
        else:
            running = hashlib.sha512()
            async with aclosing(deps.files.read(received.file, received.size_bytes)) as pieces:
                async for piece in pieces:
                    await deps.files.feed(running, piece)
            found = running.digest()
        if b64encode(found).decode() != expected:
            raise digest_mismatch(f"The file's {algorithm} is not the one that was announced.")


def digest_mismatch(message: str) -> InputError:
    """What came is not what was meant."""
    return InputError(
        "digest_mismatch", message, suggestion="Something changed the bytes on their way: send them again."
    )
