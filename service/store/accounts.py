"""Accounts and their keys. A key is stored as its SHA-256 only."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from service.domain.ids import new_id
from service.store.database import Connection
from service.store.queries import load

_SQL = load("account")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the account and the key it came with."""

    account_id: UUID
    key_id: UUID


def fresh_key() -> str:
    """A new random key, 192 bits."""
    return f"mr_{secrets.token_urlsafe(24)}"


async def authenticate(db: Connection, key: str) -> Caller | None:
    """Whom a key belongs to, or None."""
    row = await db.fetchrow(_SQL["authenticate"], _digest(key))
    return Caller(row["account_id"], row["key_id"]) if row else None


async def ensure(db: Connection, name: str, key: str) -> UUID:
    """Make sure that the account exists and that `key` opens it."""
    account_id: UUID = await db.fetchval(_SQL["ensure_account"], new_id(), name)
    await db.execute(_SQL["ensure_key"], new_id(), account_id, "first", _digest(key))
    return account_id


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
