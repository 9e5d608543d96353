r"""Scores the reader beside pandas, DuckDB, polars, clevercsv and psql \copy on polluted files. Asserts nothing.

A file is exact if all its rows come out as they should, reported if none is wrong but some are refused one by one,
refused if it is as a whole, and wrong if any row is changed, lost or made up without a word. Cells may be text as
written, or the value meant.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from tests.bench import pollute
from tests.bench.peer import SCRIPTS, Missing, run
from tests.bench.pollute import Dirty
from workers.columns import column_names
from workers.processors.csv import CsvOptions, processor

FOLDER = Path("build/bench-readers")
PEERS = ("pandas", "duckdb", "polars", "clevercsv")
Verdict = str


def main(build: Path, copy: Callable[[Path, int], str] | None = None, names: tuple[str, ...] = PEERS) -> None:
    """Print the table of verdicts, and for which files ours is not exact. `copy` is psql \\copy to text and back."""
    found = list(pollute.files())
    folder = build / "dirty"
    folder.mkdir(parents=True, exist_ok=True)
    verdicts: dict[str, list[Verdict]] = {"Millrace": [ours(dirty) for dirty in found]}
    for dirty in found:
        (folder / dirty.name).write_bytes(dirty.data)
    try:
        python = installed()
        for name in names:
            verdicts[name] = peer(python, name, folder, found)
    except Missing as error:
        print(f"peers are left out: {error}")
    if copy is not None:
        verdicts["psql \\copy"] = [copied(copy, folder / dirty.name, dirty) for dirty in found]
    print(f"{len(found)} polluted files   exact  reported  refused  wrong")
    for name, given in verdicts.items():
        count = Counter(given)
        print(f"  {name:18} {count['exact']:8} {count['reported']:9} {count['refused']:8} {count['wrong']:6}")
    for dirty, verdict in zip(found, verdicts["Millrace"], strict=True):
        if verdict != "exact":
            print(f"    {verdict}: {dirty.name}")


def ours(dirty: Dirty) -> Verdict:
    """What our reader makes of a file."""

    async def collect() -> list[Chunk]:
        work = Work(io.BytesIO(dirty.data), len(dirty.data), CsvOptions(), None, None, 1 << 22)
        return [chunk async for chunk in processor.chunks(work)]  # type: ignore[union-attr]

    try:
        chunks = asyncio.run(collect())
    except InputError:
        return "refused"
    refused = {reject.row - 1 for chunk in chunks for reject in chunk.rejects}
    rows = iter([list(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()])
    read = sum(chunk.read for chunk in chunks)
    table = [None if number in refused else next(rows) for number in range(read)]
    header = [column.name for column in chunks[0].columns]
    return verdict_of(dirty, header, table)


def peer(python: str, name: str, folder: Path, found: list[Dirty]) -> list[Verdict]:
    """What another reader makes of the files."""
    command = [python, SCRIPTS / "readers.py", name, *(folder / dirty.name for dirty in found)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=900)
    tables = [json.loads(line) for line in done.stdout.splitlines()]
    tables += [None] * (len(found) - len(tables))
    return [_judged(dirty, table) for dirty, table in zip(found, tables, strict=True)]


def _judged(dirty: Dirty, table: list[list[Any]] | None) -> Verdict:
    if not table:
        return "refused"
    header, *rows = table
    if dirty.header is None and list(map(str, header)) == dirty.raw[0]:
        header, rows = column_names([""] * len(header)), [header, *rows]
    return verdict_of(dirty, header, rows)


def copied(copy: Callable[[Path, int], str], path: Path, dirty: Dirty) -> Verdict:
    r"""What \copy makes of it."""
    try:
        rows = list(csv.reader(io.StringIO(copy(path, len(dirty.raw[0]) if dirty.raw else len(dirty.header or ())))))
    except subprocess.SubprocessError:
        return "refused"
    header = dirty.header or column_names([""] * len(dirty.raw[0]))
    return verdict_of(dirty, header, rows)


def verdict_of(dirty: Dirty, header: list[str], rows: list[list[Any] | None]) -> Verdict:
    """None stands for a row that was refused and told of."""
    wanted = column_names(dirty.header) if dirty.header else None
    if wanted is not None and column_names([str(name) for name in header]) != wanted and not _gaps(dirty, header):
        return "wrong"
    place, lost, exact = 0, 0, True
    for row in rows:
        if row is None:
            lost += 1
            continue
        # One that was refused may hold several, where a quote stayed open.
        behind = range(place, min(place + 4 * lost, len(dirty.clean) - 1) + 1)
        found = next((at for at in behind if at < len(dirty.clean) and matches(row, dirty, at)), None)
        if found is None or found - place > 4 * lost or (lost and found == place):
            return "wrong"
        if any(at not in dirty.broken for at in range(place, found)):
            exact = False
        place, lost = found + 1, 0
    if place < len(dirty.clean) and not lost:
        return "wrong"
    return "exact" if exact and all(at in dirty.broken for at in range(place, len(dirty.clean))) else "reported"


def matches(row: list[Any], dirty: Dirty, at: int) -> bool:
    """Whether a row is the one it should be, as it is meant or as it is written."""
    clean, raw = dirty.clean[at], dirty.raw[at]
    return len(row) == len(clean) and all(
        same(got, a) or same(got, b) for got, a, b in zip(row, clean, raw, strict=True)
    )


def same(got: Any, wanted: str) -> bool:
    """Whether a value is what this text means."""
    if got is None:
        return wanted == ""
    text = str(got)
    if text == wanted:
        return True
    try:
        return Decimal(text) == Decimal(wanted)
    except InvalidOperation:
        return False


def _gaps(dirty: Dirty, header: list[str]) -> bool:
    """Whether only names that the file does not say, or says twice, are different."""
    said = dirty.header or []
    return len(said) == len(header) and all(
        not one or said.count(one) > 1 or column_names([one]) == column_names([str(other)])
        for one, other in zip(said, header, strict=True)
    )


def installed() -> str:
    """The interpreter of the peers' own environment. Raises Missing."""
    python, wanted = FOLDER / "venv/bin/python", Path(__file__).with_name("readers.txt")
    kept = FOLDER / "installed.txt"
    if not kept.exists() or kept.read_text() != wanted.read_text():
        run([sys.executable, "-m", "venv", str(FOLDER / "venv")])
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
        kept.write_text(wanted.read_text())
    return str(python.absolute())
