"""Damaged files of every format, read by the child that reads files, under the limits that it has.

`make campaign` reads 100,000 and more, from a seed of its own; `FUZZ_SEED` and `FUZZ_FIRST` repeat one, as its finding
says.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.config import Settings
from service.domain.dataset import columns_from_json
from service.store.tables import SQL_TYPES, quoted
from tests.campaign import fuzzing
from tests.running import Servers
from workers.registry import discover

SEED = int(os.environ.get("FUZZ_SEED", "20261127"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
FILES = int(os.environ.get("FUZZ_FILES", "80"))
"""Of each format."""
READERS = [name for name, processor in discover().items() if processor.reads_file]


@pytest.fixture(scope="module")
async def accepts(servers: Servers) -> AsyncIterator[fuzzing.Accepts]:
    """PostgreSQL takes rows as a dataset would, and forgets them."""
    async with servers.database() as url:
        db = await asyncpg.connect(url)
        names = dict[tuple[Any, ...], str]()

        async def store(told: Sequence[Any], payload: bytes) -> None:
            columns = columns_from_json(told)
            shape = tuple((column.name, column.type) for column in columns)
            if len(names) > 500:
                await db.execute("discard temp")
                names.clear()
            if shape not in names:
                names[shape] = f"shape_{len(names)}"
                lines = ["_row bigint not null", "_job uuid not null"]
                lines += [f"{quoted(column.name)} {SQL_TYPES[column.type]}" for column in columns]
                await db.execute(f"create temp table {names[shape]} ({', '.join(lines)})")
            if payload:
                await db.copy_to_table(names[shape], source=_whole(payload), format="binary")
                await db.execute(f"truncate {names[shape]}")

        yield store
        await db.close()


async def _whole(payload: bytes) -> AsyncIterator[bytes]:
    yield payload


@pytest.mark.slow
@pytest.mark.timeout(max(300, FILES))
@pytest.mark.parametrize("processor", READERS)
async def test_no_damaged_file_does_harm(processor: str, accepts: fuzzing.Accepts, tmp_path: Path) -> None:
    tally = await fuzzing.fuzz(processor, Settings(), tmp_path, SEED, range(FIRST, FIRST + FILES), accepts)
    print(f"\n{processor}, FUZZ_SEED={SEED}: {tally}")
    assert not tally.findings, "\n".join(map(str, tally.findings))
    assert tally.read + sum(tally.refused.values()) > FILES // 2
