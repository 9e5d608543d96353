r"""Files of several kinds through the whole service beside `psql \copy`, and one of them through other loaders."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring import Usage
from tests.bench.peer import Missing, run

ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
LOADERS = Path(__file__).parent / "loaders"
FOLDER = Path("build/bench-loaders")
DEADLINE_S = 300

KINDS = {"mixed": 1.0, "narrow": 2.0, "wide": 0.075, "all_text": 0.75, "quote_heavy": 0.3, "bad": 1.0}
"""Kinds of files, and how many rows of each there are for one of the mixed kind. `bad` is mixed with 1 % bad rows."""

Imported = Callable[[Path, str], tuple[float, dict[str, Usage]]]
Copied = Callable[[Path, str], tuple[float, Usage]]


@dataclass
class Line:
    """One kind's medians."""

    kind: str
    size_mb: float
    ours_s: float
    copy_s: float
    ratio: float
    server_share: float
    peaks: str


def table(made: Callable[[str, int], Path], imported: Imported, copied: Copied, kinds: Iterable[str]) -> None:
    r"""Each kind in rounds that alternate between the service and `\copy`, which loads the clean file for `bad`."""
    print(f"{'':12}{'MB':>6}{'Millrace s':>12}{'copy s':>9}{'ratio':>8}{'server CPU':>12}   peak RSS")
    for kind in kinds:
        line = measured(kind, made, imported, copied)
        print(
            f"{line.kind:12}{line.size_mb:6.0f}{line.ours_s:12.2f}{line.copy_s:9.2f}{line.ratio:7.2f}x"
            f"{line.server_share:11.2f}x   {line.peaks}",
            flush=True,
        )
    print()


def measured(kind: str, made: Callable[[str, int], Path], imported: Imported, copied: Copied) -> Line:
    """One kind's rounds."""
    rows = int(ROWS * KINDS[kind])
    path, clean = made(kind, rows), made("mixed" if kind == "bad" else kind, rows)
    ours, theirs = [], []
    for number in range(ROUNDS):
        dataset = f"{kind}_{number}"
        ours.append(imported(path, dataset))
        theirs.append(copied(clean, dataset))
    pairs = list(zip(ours, theirs, strict=True))
    peaks = {name: max(usage[name].peak_mib for _, usage in ours) for name in ("service", "child")}
    return Line(
        kind,
        path.stat().st_size / 1e6,
        statistics.median(wall_s for wall_s, _ in ours),
        statistics.median(wall_s for wall_s, _ in theirs),
        statistics.median(copy_s / wall_s for (wall_s, _), (copy_s, _) in pairs),
        statistics.median(u["postgres"].total_cpu_s / max(c.total_cpu_s, 0.01) for (_, u), (_, c) in pairs),
        ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items()),
    )


def loaders(path: Path, url: str, sql: Callable[..., str], columns_of: str, ours_s: float, copy_s: float) -> None:
    """The same file through other loaders; those that need a table find one like table `columns_of`."""
    print(f"{'':12}{'seconds':>11}   as fast as Millrace")
    print(f"{'Millrace':12}{ours_s:9.2f} s{1:8.2f}x")
    print(f"{'psql copy':12}{copy_s:9.2f} s{ours_s / copy_s:8.2f}x")
    for script in ("psycopg_", "pgloader_", "dlt_", "pandas_", "csvkit"):
        name = script.rstrip("_")
        sql(f"drop table if exists public.{name}_rows")
        if script in ("psycopg_", "pgloader_"):
            sql(f"create table public.{name}_rows as select * from {columns_of} limit 0")
        try:
            wall_s = loaded(script, url, path, f"{name}_rows")
        except Missing as reason:
            print(f"{name:12}  {reason}", flush=True)
            continue
        rows = sql(f"select count(*) from public.{name}_rows")
        print(f"{name:12}{wall_s:9.2f} s{ours_s / wall_s:8.2f}x   {int(rows):,} rows", flush=True)
    print()


def loaded(script: str, url: str, path: Path, name: str) -> float:
    """The seconds that one loader takes. Raises Missing with what it said."""
    python = installed()
    command = [str(python), str(LOADERS / f"{script}.py"), url, str(path), name]
    if script == "csvkit":
        target = url.replace("postgresql://", "postgresql+psycopg://")
        command = [str(python.with_name("csvsql")), "--db", target, "--insert", "--db-schema", "public"]
        command += ["--tables", name, str(path)]
    if script == "pgloader_" and shutil.which("pgloader") is None:
        raise Missing("pgloader not found")
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"not done after {DEADLINE_S} s") from error
    if done.returncode:
        raise Missing(f"failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return time.perf_counter() - started


def installed() -> Path:
    """The interpreter of the loaders' own environment, made if it is not there or its list has changed."""
    python, wanted = FOLDER / "venv/bin/python", Path(__file__).with_name("loaders.txt")
    kept = FOLDER / "installed.txt"
    if not kept.exists() or kept.read_text() != wanted.read_text():
        run([sys.executable, "-m", "venv", str(FOLDER / "venv")])
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
        shutil.copy(wanted, kept)
    return python.absolute()
