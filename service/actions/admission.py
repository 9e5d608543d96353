"""Whether a file may come in: its size and type, the account's quota, the space left, and what a scanner says."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx

from service.deps import Deps
from service.domain.errors import InputError, QuotaError, Transient
from service.domain.filetype import check_allowed, check_kind, check_name
from service.domain.processor import Processor
from service.files.growing import too_large
from service.files.port import File
from service.store import arrivals
from service.store.accounts import Caller
from service.store.arrivals import Usage
from service.store.database import Connection

CLEAN, INFECTED = 0, 1
"""Exit codes of a scan command, as ClamAV's have it."""

INFECTED_STATUS = (406, 422)


def max_bytes(deps: Deps, processor: Processor | None) -> int:
    """The largest file that may come, or may come for this processor."""
    limits = [deps.settings.max_upload_bytes]
    if processor is not None:
        limits += [
            limit for limit in (processor.max_bytes, deps.settings.processor_max_bytes.get(processor.name)) if limit
        ]
    return min(limits)


def check_size(size_bytes: int | None, most: int) -> None:
    """Raises TooLarge."""
    if size_bytes is not None and size_bytes > most:
        raise too_large(most)


def check_type(deps: Deps, name: str, kind: str | None, processor: Processor | None) -> None:
    """Check a name, and what the first bytes say once they are there. Raises InputError `unsupported_type`."""
    allowed = frozenset(word.strip().lower() for word in deps.settings.allowed_types.split(",") if word.strip())
    check_allowed(name, kind, allowed)
    if processor is not None:
        check_name(name, processor, deps.catalog)
        check_kind(kind, processor)


async def check_space(deps: Deps, more_bytes: int | None) -> None:
    """Check that the disk keeps its floor with so much more on it. Raises Transient `disk_full`."""
    if await deps.files.free_bytes() - (more_bytes or 0) < deps.settings.free_bytes_floor:
        raise Transient(
            "disk_full",
            "There is not enough space left to store this file.",
            suggestion="Try again later, or ask the operator to free space.",
            retry_after_s=60,
        )


async def check_bytes(deps: Deps, db: Connection, caller: Caller) -> None:
    """Check the bytes that the account holds by now, in the transaction that has changed them. Raises QuotaError."""
    now = await arrivals.usage(db, caller.account_id)
    _check_bytes(now, deps.settings.account_bytes if now.max_bytes is None else now.max_bytes)


async def check_quota(deps: Deps, db: Connection, caller: Caller) -> None:
    """The same, with the number of uploads on their way and begun today."""
    settings, now = deps.settings, await arrivals.usage(db, caller.account_id)
    _check_bytes(now, settings.account_bytes if now.max_bytes is None else now.max_bytes)
    most_open = settings.account_open_uploads if now.max_open is None else now.max_open
    most_daily = settings.account_daily_uploads if now.max_daily is None else now.max_daily
    if now.open > most_open:
        raise QuotaError(
            "quota_exceeded",
            f"The account may have {most_open} uploads on their way at a time.",
            suggestion="Finish or delete unfinished uploads first.",
            retry_after_s=60,
        )
    if now.daily > most_daily:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        raise QuotaError(
            "quota_exceeded",
            f"The account may begin {most_daily} uploads a day.",
            suggestion="Try again after midnight UTC.",
            retry_after_s=(midnight - datetime.now(UTC)).total_seconds(),
        )


async def scan(deps: Deps, file: File, size_bytes: int, name: str) -> None:
    """Have a complete file looked at. Raises InputError `malware_found`, Transient when there is no telling."""
    if not (scanner := deps.settings.scan):
        return
    content = deps.files.read(file, size_bytes)
    try:
        async with asyncio.timeout(deps.settings.scan_timeout_s):
            if scanner.startswith(("http://", "https://")):
                clean = await _asked_by_http(scanner, content, name)
            else:
                clean = await _asked_by_command(scanner, content)
    except (TimeoutError, OSError, httpx.HTTPError) as error:
        raise _no_telling(type(error).__name__) from error
    finally:
        await content.aclose()
    if not clean:
        raise InputError(
            "malware_found", "The scanner says that this file is harmful.", suggestion="Check where it came from."
        )


async def _asked_by_command(command: str, content: AsyncIterator[bytes]) -> bool:
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have seen enough
            async for piece in content:
                process.stdin.write(piece)
                await process.stdin.drain()
        process.stdin.close()
        code = await process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if code not in (CLEAN, INFECTED):
        raise _no_telling(f"exit code {code}")
    return code == CLEAN


async def _asked_by_http(url: str, content: AsyncIterator[bytes], name: str) -> bool:
    headers = {"Content-Type": "application/octet-stream", "X-File-Name": name.encode("ascii", "replace").decode()}
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113 - our caller has a deadline
        answer = await client.post(url, content=content, headers=headers)
    if answer.is_success or answer.status_code in INFECTED_STATUS:
        return answer.is_success
    raise _no_telling(f"status {answer.status_code}")


def _check_bytes(now: Usage, most_bytes: int) -> None:
    if now.bytes > most_bytes:
        raise QuotaError(
            "quota_exceeded",
            f"With this file the account would hold {now.bytes} bytes; it may hold {most_bytes}.",
            suggestion="Delete uploads that are no longer needed.",
        )


def _no_telling(why: str) -> Transient:
    return Transient("scan_failed", f"The scanner gave no answer ({why}).", retry_after_s=30)
