"""Events of a job, by their gap-free number, and of an account, by their position.

They are written by the statements that change the job; the database gives each its position (migration 0004).

A position is final: once an event has been read, nothing is ever committed in front of it. For that, an account's
events are read only when every transaction that began to write before theirs has ended. So a long writing transaction,
of whatever session and database of the server, delays the events of all accounts, and loses none: that of a chunk for
as long as its COPY takes, that of a process frozen in the middle of one for as long as it is frozen. The events that
are read by job are never delayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from service.domain.event import Event, EventType, Position
from service.store.database import Connection
from service.store.queries import load

_SQL = load("event")

START = Position(0, 0)
"""In front of every event."""


async def after(db: Connection, account_id: UUID, job_id: UUID, seq: int, *, limit: int) -> list[Event]:
    """The events of an account's job that follow number `seq`, in order. Needs no transaction."""
    return [_event(row) for row in await db.fetch(_SQL["after"], account_id, job_id, seq, limit)]


async def after_in_account(
    db: Connection, account_id: UUID, position: Position, *, limit: int
) -> tuple[Sequence[Event], bool]:
    """The events of an account that follow `position`, in order; and whether there are more that must wait yet.

    Needs no transaction.
    """
    rows = await db.fetch(_SQL["after_in_account"], account_id, position.tx, position.no, limit)
    settled = [_event(row) for row in rows if row["is_settled"]]
    return settled, len(settled) < len(rows)


async def newest_in_account(db: Connection, account_id: UUID) -> Position:
    """The position that every event still to come is behind."""
    row = await db.fetchrow(_SQL["newest_in_account"], account_id)
    return START if row is None else Position(row["tx"], row["no"])


async def is_past(db: Connection, position: Position) -> bool:
    """Whether an event at `position` could have been read by now."""
    horizon: int = await db.fetchval(_SQL["horizon"])
    return position.tx < horizon


def _event(row: Record) -> Event:
    position = Position(row["tx"], row["no"])
    return Event(row["job_id"], row["seq"], EventType(row["type"]), row["at"], row["data"], position)
