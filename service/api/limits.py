"""How often one may ask: token buckets in the memory of this process, one an account or address."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass

MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """Each holds `burst` tokens at most and gains `rate` a second. Buckets that are full again may be forgotten."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, _Bucket] = {}

    def left(self, whose: Hashable, rate: float, burst: float) -> float:
        """How many tokens there are now."""
        now = time.monotonic()
        bucket = self._buckets.get(whose)
        if bucket is None:
            return burst
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        return bucket.tokens

    def take(self, whose: Hashable, rate: float, burst: float) -> float:
        """Take a token and return how many are left; without one take none, and return less than 0: by so many."""
        left = self.left(whose, rate, burst) - 1
        if left >= 0:
            if len(self._buckets) >= MOST_BUCKETS and whose not in self._buckets:
                self._forget(rate, burst)
            self._buckets[whose] = _Bucket(left, time.monotonic())
        return left

    def _forget(self, rate: float, burst: float) -> None:
        """Drop those that are full by now; if there are none, all: better generous than without bound."""
        full = [whose for whose in self._buckets if self.left(whose, rate, burst) >= burst]
        for whose in full or list(self._buckets):
            del self._buckets[whose]
