"""What an operator sets from the command line: accounts and their keys, limits, weights, quotas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from service import lifecycle
from service.config import Settings
from service.domain.access import Role
from service.store import accounts, audit, limits, migrations
from service.store.database import WORKER_ROLE, Connection, open_database


class Usage(Exception):
    """The words of a command do not fit; says how they should be."""


class Broken(Exception):
    """The audit is not as it was written."""


async def account(settings: Settings, name: str, role: str = Role.OPERATOR, label: str = "") -> None:
    """Print a new key for an account, which is made if there is none of that name."""
    if role not in set(Role):
        raise Usage(f"account NAME [{'|'.join(Role)} [LABEL]]")
    key = accounts.fresh_key()
    async with _owner(settings) as db:
        await accounts.ensure(db, name, key, Role(role), label or "first")
    print(key)


async def keys(settings: Settings, name: str) -> None:
    """Print what keys an account has had, newest first."""
    async with _owner(settings) as db:
        for key in await accounts.keys_of(db, name):
            ended = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "valid"
            print(f"{key.id}  {key.role:8}  {key.created_at:%Y-%m-%d %H:%M}  {ended:24}  {key.name}")


async def revoke(settings: Settings, key_id: str) -> None:
    """Let a key open nothing any more; its sessions end."""
    try:
        found = UUID(key_id)
    except ValueError:
        raise Usage("revoke KEY-ID, as `keys ACCOUNT` prints it") from None
    async with _owner(settings) as db:
        await accounts.revoke(db, found)


async def limit(settings: Settings, kind: str, name: str, most: str = "") -> None:
    """Let at most so many jobs of a queue, processor or account run at a time; without a number, any number."""
    if kind not in limits.KINDS or not (most.isdecimal() or not most):
        raise Usage(f"limit {'|'.join(limits.KINDS)} NAME [NUMBER]")
    async with _owner(settings) as db:
        await limits.limit(db, kind, name, int(most) if most else None)


async def weight(settings: Settings, name: str, turns: str) -> None:
    """Give an account more turns than others, 1 to 100."""
    if not turns.isdecimal() or not 1 <= int(turns) <= 100:
        raise Usage("weight ACCOUNT 1-100")
    async with _owner(settings) as db:
        await limits.weigh(db, name, int(turns))


async def quota(settings: Settings, name: str, kind: str, most: str = "") -> None:
    """Let an account's uploads come to so much; without a number, to what the settings say."""
    if kind not in limits.QUOTAS or not (most.isdecimal() or not most):
        raise Usage(f"quota ACCOUNT {'|'.join(limits.QUOTAS)} [NUMBER]")
    async with _owner(settings) as db:
        await limits.quota(db, name, kind, int(most) if most else None)


async def verify(settings: Settings, what: str, name: str | None = None) -> None:
    """Compute the chains of the audit anew. Raises Broken."""
    if what != "verify":
        raise Usage("audit verify [ACCOUNT]")
    async with _owner(settings) as db:
        verdicts = await audit.verify(db, name)
    for verdict in verdicts:
        end = verdict.hash.hex() if verdict.hash else "none"
        found = "holds" if verdict.broken_at is None else f"is broken at entry {verdict.broken_at}"
        print(f"{verdict.account}: the chain of {verdict.entries} {found}; {verdict.loose} not in it yet; head {end}")
    if any(verdict.broken_at is not None for verdict in verdicts):
        raise Broken("Entries were changed or removed.")


COMMANDS: Mapping[str, tuple[Callable[..., Awaitable[None]], tuple[int, ...]]] = {
    "account": (account, (1, 2, 3)),
    "keys": (keys, (1,)),
    "revoke": (revoke, (1,)),
    "audit": (verify, (1, 2)),
    "limit": (limit, (2, 3)),
    "weight": (weight, (2,)),
    "quota": (quota, (2, 3)),
}
"""Each with the numbers of words that it takes."""


async def run(settings: Settings, command: str, words: Sequence[str]) -> None:
    """Run a command on the database of the settings. Raises Usage, NotFound."""
    order, takes = COMMANDS[command]
    if len(words) not in takes:
        raise Usage(f"{command} takes {' or '.join(map(str, takes))} words: see python -m service help")
    await order(settings, *words)


@asynccontextmanager
async def _owner(settings: Settings) -> AsyncIterator[Connection]:
    async with lifecycle.located(settings) as located:
        await migrations.migrate(located.database_url)
        async with (
            open_database(located.database_url, role=WORKER_ROLE, connections=1, name="millrace setup") as database,
            database.transaction() as db,
        ):
            yield db
