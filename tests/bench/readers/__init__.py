"""`python -m tests.bench formats sheets decks`: our readers beside others, each in a process of its own.

One module a format: `make(folder, rows)` writes the file, `OURS` are our processor and its options, `PEERS` read it
with other libraries and give the number of rows. They run in turns, in the environment that `dirty` uses as well.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

FORMATS = ("sheets", "decks")
ROWS = int(os.environ.get("BENCH_FORMAT_ROWS", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
OURS = "Millrace"


def main(build: Path, names: list[str]) -> None:
    """Print a table for each format: rows a second of processor time and of wall time, and peak memory."""
    from tests.bench.dirty import installed  # needs what the others' environment has not

    python, folder = installed(), build / "readers"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or FORMATS:
        path = Path(told(sys.executable, name, "make", folder, str(ROWS))["path"])
        readers = [OURS, *told(sys.executable, name, "peers")["names"]]
        runs: dict[str, list[dict[str, float]]] = {reader: [] for reader in readers}
        for _ in range(ROUNDS):
            for reader in readers:
                runs[reader].append(told(sys.executable if reader == OURS else python, name, "read", path, reader))
        print(f"{name}: {runs[OURS][0]['rows']:,} rows, {path.stat().st_size / 1e6:.1f} MB, medians of {ROUNDS} rounds")
        print("  reader            rows/s of processor time   rows/s      peak MiB")
        for reader, found in runs.items():
            cpu, wall, peak = (
                statistics.median(run[what] for run in found) for what in ("cpu_s", "wall_s", "peak_mib")
            )
            print(f"  {reader:22}{found[0]['rows'] / cpu:16,.0f}{found[0]['rows'] / wall:16,.0f}{peak:12.0f}")
        print()


def told(python: str, *words: object) -> dict[str, object] | dict[str, float]:
    """What a reader's process says."""
    done = subprocess.run(
        [python, "-m", "tests.bench.readers.reader", *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    return json.loads(done.stdout.splitlines()[-1])
