"""One reader in a process of its own: `python -m tests.bench.readers.reader FORMAT make|peers|read …`."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any


def read(known: ModuleType, path: Path, reader: str) -> dict[str, Any]:
    """Read the file once."""
    started = time.perf_counter()
    rows = ours(known, path) if reader == "Millrace" else known.PEERS[reader](path)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": rows,
        "wall_s": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def ours(known: ModuleType, path: Path) -> int:
    """Rows in the binary form that PostgreSQL takes, as a child makes them."""
    import asyncio
    from uuid import UUID

    from service.domain.processor import Work
    from workers.encoding import copy_pieces
    from workers.registry import discover

    name, options = known.OURS
    processor = discover()[name]

    async def count() -> int:
        rows = 0
        with path.open("rb") as file:
            work = Work(file, path.stat().st_size, processor.options.model_validate(options), None, None, 6 * 2**20)
            assert processor.chunks is not None
            async for chunk in processor.chunks(work):
                rows += chunk.batch.num_rows
                for _ in copy_pieces(chunk, UUID(int=1)):
                    pass
        return rows

    return asyncio.run(count())


def main(name: str, what: str, *given: str) -> None:
    """Print a line of JSON."""
    known = importlib.import_module(f"tests.bench.readers.{name}")
    match what:
        case "make":
            told: dict[str, Any] = {"path": str(known.make(Path(given[0]), int(given[1])))}
        case "peers":
            told = {"names": list(known.PEERS)}
        case _:
            told = read(known, Path(given[0]), given[1])
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
