"""The audit: what was done in an account, and the chain that shows whether it was changed since. See `acting`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.ids import new_id
from service.store.acting import MOST_CHARACTERS, Act
from service.store.database import Connection
from service.store.queries import load

_SQL = load("audit")


@dataclass(frozen=True, slots=True)
class Entry:
    """One act, or its refusal. `no` and `hash` are its place in the chain, once it has one."""

    id: UUID
    no: int | None
    at: datetime
    key_id: UUID | None
    key_name: str | None
    session_id: UUID | None
    request_id: str
    action: str
    targets: list[UUID]
    outcome: str
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chain of an account: `broken_at` is the first entry that is not as it was, or not there; None if all are."""

    account: str
    entries: int
    broken_at: int | None
    hash: bytes | None
    loose: int


async def refuse(db: Connection, act: Act, code: str) -> None:
    """Write down that an act was refused, and with which code."""
    action = act.action[:MOST_CHARACTERS]
    await db.execute(
        _SQL["refuse"], new_id(), act.account_id, act.key_id, act.session_id, act.request_id, action, [], code
    )


async def page(
    db: Connection,
    *,
    before: UUID | None,
    key_id: UUID | None,
    about: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
) -> list[Entry]:
    """Entries of the account, newest first; `about` is part of a path, or the id of what was made."""
    rows = await db.fetch(_SQL["page"], before, key_id, about, start, end, limit)
    return [Entry(**{name: row[name] for name in Entry.__slots__}) for row in rows]


async def head(db: Connection, account_id: UUID) -> tuple[int, bytes] | None:
    """The newest entry of the account's chain: its number and hash."""
    row = await db.fetchrow(_SQL["head"], account_id)
    return (row["no"], row["hash"]) if row else None


async def chain(db: Connection, most: int) -> int:
    """Chain entries that are loose yet; how many those were."""
    chained: int = await db.fetchval(_SQL["chain"], most)
    return chained


async def verify(db: Connection, account: str | None) -> list[Verdict]:
    """Compute every chain anew, or that of one account."""
    return [Verdict(**row) for row in await db.fetch(_SQL["verify"], account)]
