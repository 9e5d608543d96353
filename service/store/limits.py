"""How many jobs of a queue, processor or account run at a time; how turns weigh; what an account's uploads may be."""

from __future__ import annotations

from service.domain.errors import NotFound
from service.store.database import Connection
from service.store.queries import load

_SQL = load("limit")

KINDS = ("queue", "processor", "account")
QUOTAS = ("bytes", "open", "daily", "requests")


async def limit(db: Connection, kind: str, name: str, most: int | None) -> None:
    """Let at most `most` jobs run at a time, or as many as there are slots; from the next claim on. Raises NotFound."""
    if kind == "account":
        if await db.fetchval(_SQL["set_of_account"], name, most) is None:
            raise NotFound("account", name)
    elif most is None:
        await db.execute(_SQL["lift"], kind, name)
    else:
        await db.execute(_SQL["set"], kind, name, most)


async def weigh(db: Connection, account: str, weight: int) -> None:
    """Give an account `weight` turns, 1 to 100, where one of weight 1 has one. Raises NotFound."""
    if await db.fetchval(_SQL["weigh_account"], account, weight) is None:
        raise NotFound("account", account)


async def quota(db: Connection, account: str, kind: str, most: int | None) -> None:
    """Let an account's uploads or requests come to `most`, or what the settings say. Raises NotFound."""
    if await db.fetchval(_SQL["quota"], account, kind, most) is None:
        raise NotFound("account", account)
