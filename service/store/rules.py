"""Rules: which job an upload starts by itself, by its suffix or media type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from service.domain.errors import NotFound, QuotaError, StateError
from service.store.database import Connection
from service.store.queries import load

_SQL = load("upload_rule")

MOST = 1_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Uploads of a `type`, a suffix such as `.csv` or a media type, start a job of this processor."""

    id: UUID
    account_id: UUID
    type: str
    processor: str
    dataset: str | None
    options: Mapping[str, Any]
    priority: int
    created_at: datetime


async def add(
    db: Connection,
    account_id: UUID,
    rule_id: UUID,
    *,
    type: str,
    processor: str,
    dataset: str | None,
    options: Mapping[str, Any],
    priority: int,
) -> Rule:
    """Write a rule. Raises StateError: the account has one for this type; QuotaError."""
    if await db.fetchval(_SQL["number"]) >= MOST:
        raise QuotaError("quota_exceeded", f"An account may have {MOST} rules.", suggestion="Delete one first.")
    row = await db.fetchrow(_SQL["add"], rule_id, account_id, type, processor, dataset, options, priority)
    if row is None:
        raise StateError("conflict", f"There is a rule for {type!r} already.", suggestion="Delete that one first.")
    return _rule(row)


async def all_of(db: Connection) -> list[Rule]:
    """The account's rules, oldest first."""
    return [_rule(row) for row in await db.fetch(_SQL["list"], MOST)]


async def find(db: Connection, types: Sequence[str]) -> Rule | None:
    """The rule for the first of these types that has one."""
    row = await db.fetchrow(_SQL["find"], types)
    return None if row is None else _rule(row)


async def remove(db: Connection, rule_id: UUID) -> None:
    """Delete a rule. Raises NotFound."""
    if await db.fetchval(_SQL["remove"], rule_id) is None:
        raise NotFound("rule", rule_id)


def _rule(row: Record) -> Rule:
    return Rule(**row)
