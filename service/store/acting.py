"""Who acts, and by which request: set where the request is let in, and written into each transaction that it commits.

So nothing that changes an account's things can be forgotten by the audit, whatever action does it. A transaction that
has changed nothing, or is rolled back, leaves no entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from service.domain.ids import new_id
from service.store.queries import load

_SQL = load("audit")

MOST_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Act:
    """A request that acts: whose, by which key and session, its id, method and path; what it has made so far."""

    account_id: UUID
    key_id: UUID
    session_id: UUID | None
    request_id: str
    action: str
    targets: list[UUID] = field(default_factory=list)


_acting: ContextVar[Act | None] = ContextVar("acting", default=None)


def now() -> Act | None:
    """The act that is under way."""
    return _acting.get()


@contextmanager
def acting(act: Act) -> Iterator[None]:
    """All that is committed inside belongs to this act."""
    token = _acting.set(act)
    try:
        yield
    finally:
        _acting.reset(token)


def about(*made: UUID) -> None:
    """What the act has made, for its entry; call it before the commit."""
    if (act := now()) is not None:
        act.targets.extend(made)


async def record(db: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy, act: Act) -> None:
    """Write the entry, if the transaction has changed anything. It names what was made since the act's last one."""
    targets = list(act.targets)
    act.targets.clear()
    await db.execute(
        _SQL["record"],
        new_id(), act.account_id, act.key_id, act.session_id, act.request_id, act.action[:MOST_CHARACTERS], targets,
    )  # fmt: skip


def entries(acts: Sequence[tuple[Act, UUID]]) -> list[dict[str, str | None]]:
    """Those of many acts of an account that one statement commits, each with what it has made."""
    return [
        {
            "id": str(new_id()),
            "key_id": str(act.key_id),
            "session_id": None if act.session_id is None else str(act.session_id),
            "request_id": act.request_id,
            "action": act.action[:MOST_CHARACTERS],
            "target": str(made),
        }
        for act, made in acts
    ]
