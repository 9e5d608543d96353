"""The maintenance duties that any one worker does for all, and how often. Each has a clock of its own in the engine.

Rescue and promote are not among them: they belong to the engine's sweep, skip what another worker has locked, and so
need no lock that could delay them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial, update_wrapper

from workers.maintenance import (
    chain_audit,
    drop_tables,
    expire_sessions,
    expire_undo,
    expire_uploads,
    fold_stats,
    index_rows,
    lock_again,
    mark_lost,
    ring_again,
    roll_up,
    sweep_files,
)
from workers.tools import Tools

SPREAD = 0.2
"""Pauses differ by so much to either side: many workers, started together, do not march together."""


async def ring(tools: Tools) -> int:
    """Replace lost tickets."""
    return await ring_again.run_once(tools.database, tools.dispatch)


async def count(tools: Tools) -> int:
    """Roll up statistics."""
    return await roll_up.run_once(tools.database)


async def expire(tools: Tools) -> int:
    """Delete files that are no longer needed."""
    settings = tools.settings
    return await expire_uploads.run_once(
        tools.database,
        tools.files,
        keep_completed_s=settings.keep_completed_s,
        keep_failed_s=settings.keep_failed_s,
    )


async def sweep(tools: Tools) -> int:
    """Delete files without an upload."""
    return await sweep_files.run_once(tools.database, tools.files)


async def find_lost(tools: Tools) -> int:
    """Mark uploads without a file."""
    return await mark_lost.run_once(tools.database, tools.files)


async def drop(tools: Tools) -> int:
    """Drop tables that no dataset shows."""
    settings = tools.settings
    return await drop_tables.run_once(
        tools.database, keep_failed_s=settings.keep_failed_s, keep_undo_s=settings.keep_undo_s
    )


async def index(tools: Tools) -> int:
    """Give tables of datasets their row index."""
    return await index_rows.run_once(tools.database)


async def expire_images(tools: Tools) -> int:
    """Forget what rows were before old jobs changed them."""
    return await expire_undo.run_once(tools.database, keep_undo_s=tools.settings.keep_undo_s)


async def fold(tools: Tools) -> int:
    """Add up old statistics, and forget workers that are gone."""
    return await fold_stats.run_once(tools.database, keep_s=tools.settings.keep_stats_s)


async def chain(tools: Tools) -> int:
    """Chain what the audit has got."""
    return await chain_audit.run_once(tools.database)


async def end_sessions(tools: Tools) -> int:
    """Forget sessions that have ended."""
    return await expire_sessions.run_once(tools.database, idle_s=tools.settings.session_idle_s)


async def lock(tools: Tools) -> int:
    """Lock the keys of files with the current master key."""
    return await lock_again.run_once(tools.database, tools.files)


DUTIES: tuple[tuple[float, Callable[[Tools], Awaitable[int]]], ...] = (
    (2, chain),
    (5, ring),
    (10, count),
    (10, drop),
    (10, index),
    (60, expire),
    (60, expire_images),
    (600, end_sessions),
    (600, fold),
    (600, sweep),
    (600, find_lost),
    (600, lock),
)
"""Each with its pause in seconds."""


def clocks_of(tools: Tools) -> Iterator[tuple[float, Callable[[], Awaitable[int]]]]:
    """The duties of one worker process, ready to be called."""
    for pause_s, duty in DUTIES:
        yield pause_s, update_wrapper(partial(duty, tools), duty)
