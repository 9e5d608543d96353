"""Accounts and their keys. A key is stored as its SHA-256 only.

It is found by that hash in an index: how long that takes tells nothing of a key, which would have to be hashed first.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from service.domain.access import Role
from service.domain.errors import NotFound
from service.domain.ids import new_id
from service.store.database import Connection
from service.store.queries import load

_SQL = load("account")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the account, the key it came with, and the session, if it is a browser's."""

    account_id: UUID
    key_id: UUID
    role: Role = Role.OPERATOR
    session_id: UUID | None = None
    request_id: str = ""
    max_requests: int | None = None
    """A second; None is what the settings say."""


@dataclass(frozen=True, slots=True)
class Key:
    """A credential of an account, without its secret."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


def fresh_key() -> str:
    """A new random key, 192 bits."""
    return f"mr_{secrets.token_urlsafe(24)}"


async def authenticate(db: Connection, key: str) -> Caller | None:
    """Whom a key belongs to, or None."""
    row = await db.fetchrow(_SQL["authenticate"], digest(key))
    return caller_in(row) if row else None


async def ensure(db: Connection, name: str, key: str, role: Role = Role.OPERATOR, label: str = "first") -> UUID:
    """Make sure that the account exists and that `key` opens it."""
    account_id: UUID = await db.fetchval(_SQL["ensure_account"], new_id(), name)
    await db.execute(_SQL["ensure_key"], new_id(), account_id, label, role, digest(key))
    return account_id


async def add_key(db: Connection, account_id: UUID, name: str, role: Role, key: str) -> Key:
    """A further key of the account."""
    return _key(await db.fetchrow(_SQL["add_key"], new_id(), account_id, name, role, digest(key)))


async def keys(db: Connection) -> list[Key]:
    """The keys of the account whose transaction this is, newest first."""
    return [_key(row) for row in await db.fetch(_SQL["keys"])]


async def keys_of(db: Connection, account: str) -> list[Key]:
    """The keys of any account by name, newest first."""
    return [_key(row) for row in await db.fetch(_SQL["keys_of"], account)]


async def revoke(db: Connection, key_id: UUID) -> UUID:
    """Let a key open nothing any more, and close its sessions; the account's id. Raises NotFound."""
    account_id: UUID | None = await db.fetchval(_SQL["revoke"], key_id)
    if account_id is None:
        raise NotFound("key", key_id)
    return account_id


def digest(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def caller_in(row: asyncpg.Record, session_id: UUID | None = None) -> Caller:
    """Whom a row of `authenticate` or `authenticate_session` names."""
    role = Role(row["role"])
    return Caller(row["account_id"], row["key_id"], role, session_id, max_requests=row["max_requests"])


def _key(row: asyncpg.Record | None) -> Key:
    assert row is not None
    return Key(row["id"], row["name"], Role(row["role"]), row["created_at"], row["revoked_at"])
