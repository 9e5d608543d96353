"""Attachments: the files that a dataset shows by name. Each is an upload, which is kept as long as one shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from service.domain.attachment import Attachment
from service.domain.errors import NotFound, Transient
from service.store.claims import Claim
from service.store.database import Connection
from service.store.queries import load

_SQL = load("attachment")


async def known(db: Connection, account_id: UUID, digests: Collection[bytes]) -> dict[bytes, UUID]:
    """The oldest upload of the account that has this content, for each digest that one has."""
    return {row["sha256"]: row["id"] for row in await db.fetch(_SQL["known"], account_id, list(digests))}


async def add(db: Connection, claim: Claim, uploads: Mapping[str, UUID]) -> None:
    """Let the job's dataset show these uploads by these names. Raises Transient: one of them has just gone."""
    if not uploads:
        return
    held = await db.fetchval(
        _SQL["add"], claim.account_id, claim.dataset_id, claim.job_id, list(uploads), list(uploads.values())
    )
    if held != len(set(uploads.values())):
        raise Transient("busy", "A file that was there already was deleted meanwhile.", retry_after_s=0.1)


async def page(db: Connection, dataset_id: UUID, *, after: str | None, limit: int) -> list[Attachment]:
    """By name, from the one behind `after`."""
    return [Attachment(**row) for row in await db.fetch(_SQL["list"], dataset_id, after, limit)]


async def upload_of(db: Connection, dataset_id: UUID, name: str) -> UUID:
    """The upload that a dataset shows by this name. Raises NotFound."""
    found: UUID | None = await db.fetchval(_SQL["find"], dataset_id, name)
    if found is None:
        raise NotFound("file", name)
    return found


async def forget_job(db: Connection, job_id: UUID) -> None:
    """Take away what a job has brought."""
    await db.execute(_SQL["forget_job"], job_id)


async def forget_dataset(db: Connection, dataset_id: UUID) -> None:
    """Take away all that a dataset shows."""
    await db.execute(_SQL["forget_dataset"], dataset_id)


async def forget_before(db: Connection, job_id: UUID) -> None:
    """Take away what a replace has replaced, once it can no longer be undone."""
    await db.execute(_SQL["forget_before"], job_id)
