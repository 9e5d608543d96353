"""Log in and out; make and revoke keys."""

from __future__ import annotations

from uuid import UUID

from service.deps import Deps
from service.domain.access import Role
from service.domain.errors import AccessError
from service.store import accounts, acting, sessions
from service.store.accounts import Caller, Key
from service.store.acting import Act


async def log_in(deps: Deps, key: str, request_id: str) -> tuple[Caller, str]:
    """Open a session with a key; who that is, and the session's secret. Raises AccessError."""
    async with deps.database.connection() as db:
        caller = await accounts.authenticate(db, key)
    if caller is None:
        raise AccessError(
            "unauthenticated",
            "There is no such key, or it was revoked.",
            suggestion="`python -m service account NAME` makes a new one.",
        )
    secret = sessions.fresh_secret()
    act = Act(caller.account_id, caller.key_id, None, request_id, "POST /v1/session")
    with acting.acting(act):
        async with deps.database.transaction(caller.account_id) as db:
            session_id = await sessions.open_session(db, caller, secret, deps.settings.session_s)
            acting.about(session_id)
    return Caller(caller.account_id, caller.key_id, caller.role, session_id, request_id), secret


async def log_out(deps: Deps, caller: Caller) -> None:
    """End the caller's session, if it has one."""
    if caller.session_id is not None:
        async with deps.database.transaction(caller.account_id) as db:
            await sessions.close(db, caller.session_id)


async def make_key(deps: Deps, caller: Caller, name: str, role: Role) -> tuple[Key, str]:
    """A further key for the caller's account; the key itself is told once, here."""
    secret = accounts.fresh_key()
    async with deps.database.transaction(caller.account_id) as db:
        key = await accounts.add_key(db, caller.account_id, name, role, secret)
        acting.about(key.id)
    return key, secret


async def revoke_key(deps: Deps, caller: Caller, key_id: UUID) -> None:
    """Let a key of the account open nothing any more; its sessions end. Raises NotFound."""
    async with deps.database.transaction(caller.account_id) as db:
        await accounts.revoke(db, key_id)
