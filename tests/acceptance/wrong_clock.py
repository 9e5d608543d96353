"""`python -m tests.acceptance.wrong_clock`: a worker whose clock is MILLRACE_CLOCK_OFF_S seconds ahead.

Every clock but the monotonic ones, in this process and before anything of the product is imported.
"""

from __future__ import annotations

import datetime
import os
import time

OFF_S = float(os.environ["MILLRACE_CLOCK_OFF_S"])
OFF_NS = int(OFF_S * 1e9)


class WrongDatetime(datetime.datetime):
    """`now`, `utcnow` and `today` are off."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        """Now, and off."""
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:
        """Now in UTC without a zone, and off."""
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> datetime.datetime:
        """Now without a zone, and off."""
        return cls.now()


def shift() -> None:
    """Set the clocks wrong."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + OFF_S
    time.time_ns = lambda: right_ns() + OFF_NS
    datetime.datetime = WrongDatetime  # type: ignore[misc]


if __name__ == "__main__":
    shift()
    from workers.__main__ import main

    main()
