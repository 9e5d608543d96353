"""A clock of the engine ends when it is told to, whatever its duty makes of that."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from workers.engine import every


async def test_a_duty_that_answers_its_cancellation_with_an_error_is_not_done_again() -> None:
    begun = asyncio.Event()

    async def duty() -> NoReturn:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionResetError("the connection cannot be given back")

    task = asyncio.create_task(every(0, duty))
    await begun.wait()
    task.cancel()
    ended, _ = await asyncio.wait([task], timeout=10)
    assert ended == {task}
