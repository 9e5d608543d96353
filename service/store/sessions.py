"""Sessions of browsers. A session is stored as the SHA-256 of the secret that its cookie carries."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.access import Role
from service.domain.ids import new_id
from service.store.accounts import Caller, caller_in, digest
from service.store.database import Connection
from service.store.queries import load

_SQL = load("session")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller may know of itself; `expires_at` only in a session."""

    account: str
    key_id: UUID
    key_name: str
    role: Role
    expires_at: datetime | None


def fresh_secret() -> str:
    """A new random secret, 256 bits."""
    return secrets.token_urlsafe(32)


def csrf_token(secret: str) -> str:
    """What proves that a request comes from a page that could ask for it: bound to the session, stored nowhere."""
    return urlsafe_b64encode(hmac.digest(secret.encode(), b"csrf", hashlib.sha256)).decode().rstrip("=")


async def open_session(db: Connection, caller: Caller, secret: str, lives_s: float) -> UUID:
    """A session of the caller's key; its id."""
    session_id = new_id()
    await db.execute(_SQL["open"], session_id, caller.account_id, caller.key_id, digest(secret), lives_s)
    return session_id


async def authenticate(db: Connection, secret: str, idle_s: float) -> Caller | None:
    """Whose session it is; None if it is none, too old, idle for too long, or of a revoked key. Counts as seen."""
    row = await db.fetchrow(_SQL["authenticate"], digest(secret), idle_s)
    return caller_in(row, row["session_id"]) if row else None


async def show(db: Connection, caller: Caller) -> Shown:
    """The caller's account, key and session."""
    row = await db.fetchrow(_SQL["show"], caller.key_id, caller.session_id)
    assert row is not None
    return Shown(row["account"], row["key_id"], row["key_name"], Role(row["role"]), row["expires_at"])


async def close(db: Connection, session_id: UUID) -> None:
    """End a session."""
    await db.execute(_SQL["close"], session_id)


async def expire(db: Connection, idle_s: float, limit: int) -> int:
    """Delete sessions that have ended; how many."""
    return int((await db.execute(_SQL["expire"], idle_s, limit)).split()[-1])
