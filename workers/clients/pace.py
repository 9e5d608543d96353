"""Keeps an outside service from being asked too often: a pace, and a breaker that gives it time to recover."""

from __future__ import annotations

import asyncio
import time

from service.domain.errors import Deferred

FAILURES = 5
"""So many in a row open the breaker."""
REST_S = 60.0


class Pace:
    """One request each `every_s`, however many jobs of this process ask."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        mine, self._next = self._next, max(self._next, now) + self._every_s
        if mine > now:
            await asyncio.sleep(mine - now)


class Breaker:
    """Closed: requests pass. Open, after many failures or a wish to be left alone: none does until some time is over.

    Behind that one failure opens it again, one success closes it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Raises Deferred while it is open."""
        if (left := self._open_until - time.monotonic()) > 0:
            raise Deferred(
                "upstream_resting",
                f"{self._name} has refused or failed often and is left alone for {left:.0f} s.",
                suggestion="Nothing to do: it goes on by itself.",
                retry_after_s=left,
            )

    def succeeded(self) -> None:
        """It answered."""
        self._failures = 0

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        if self._failures >= FAILURES:
            self.rest(REST_S)

    def rest(self, seconds: float) -> None:
        """Leave it alone for so long."""
        self._open_until = max(self._open_until, time.monotonic() + seconds)
