"""Wake-ups: "something about job X changed". At once within a process, and over Redis pub/sub to the others.

Never the carrier of truth; any may be lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from uuid import UUID, uuid4

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANGES = "millrace:2:changes"
TICKETS = "millrace:2:tickets"
CONTROLS = "millrace:2:controls"
"""A message is its sender's name, a space, and what it says; the number is that of this form."""

AWAY = (RedisError, OSError, TimeoutError)
"""What Redis raises when it is away; no caller is ever failed by it."""


class Bus:
    """Publishes and hears wake-ups. With Redis away it falls silent, and says so once in the log."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = uuid4().hex  # in front of what it publishes: who listens here has heard that already
        self._here: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._away = False
        self._changed: dict[tuple[UUID, UUID], None] = {}  # in the order in which they came
        self._teller: asyncio.Task[None] | None = None

    def notify(self, *changed: tuple[UUID, UUID]) -> None:
        """Tell every process that jobs have new events, each with its account. Returns at once.

        What changes while Redis is being told shares the next message.
        """
        self._changed.update(dict.fromkeys(changed))
        if self._changed and self._teller is None:
            self._teller = asyncio.create_task(self._tell_all(), context=Context())  # nobody's own

    async def close(self) -> None:
        """Wait until all is told, or given up."""
        if self._teller is not None:
            await self._teller

    async def ask(self, job_id: UUID) -> None:
        """Tell the worker that runs a job to look at what its user wants."""
        await self._publish(CONTROLS, str(job_id))

    async def ring(self, queue: str) -> None:
        """Tell idle workers that a ticket for a queue comes."""
        await self._publish(TICKETS, queue)

    async def is_up(self) -> bool:
        """Whether Redis answers."""
        try:
            async with asyncio.timeout(0.5):
                await self._redis.ping()
        except AWAY:
            return False
        return True

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with every message on `channel`, for ever; reconnects with back-off."""
        self._here[channel].append(heard)
        pause_s = 0.1
        try:
            while True:
                with suppress(*AWAY):
                    async with self._redis.pubsub() as subscription:
                        await subscription.subscribe(channel)
                        pause_s = 0.1
                        while True:
                            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=30)
                            if message is not None:
                                sender, _, said = message["data"].decode().partition(" ")
                                if sender != self._name:
                                    heard(said)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 2)
        finally:
            self._here[channel].remove(heard)

    async def _tell_all(self) -> None:
        try:
            while self._changed:
                changed, self._changed = self._changed, {}
                await self._publish(CHANGES, ",".join(f"{job_id} {account_id}" for job_id, account_id in changed))
        finally:
            self._teller = None

    async def _publish(self, channel: str, message: str) -> None:
        for heard in self._here[channel]:
            heard(message)
        try:
            async with asyncio.timeout(0.5):
                await self._redis.publish(channel, f"{self._name} {message}")
        except AWAY as error:
            if not self._away:
                log.warning("redis.away", error=str(error) or type(error).__name__)
            self._away = True
        else:
            self._away = False
