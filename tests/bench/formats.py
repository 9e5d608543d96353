"""Readers of JSON and watch histories by themselves, as a job's child: rows, CPU seconds, peak memory.

Memory is told twice: all of it, half of which is the code of libraries that every child shares, and what is its own.
What loading the libraries takes is left out, since a child has done that before its job is there.

`python -m tests.bench formats`. Peers read the JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from service.config import Settings
from tests.bench.dirty import installed
from tests.bench.peer import SCRIPTS, Missing
from workers.sandbox import Sandbox, Sandboxes

ROWS = int(os.environ.get("BENCH_ROWS", "500000"))
EVENTS = int(os.environ.get("BENCH_EVENTS", "306000"))
SAMPLES = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading a file took."""

    rows: int
    cpu_s: float
    peak_mib: float
    own_mib: float | None = None


def main(build: Path) -> None:
    """Print a line for each reader of each file."""
    folder = build / "formats"
    folder.mkdir(parents=True, exist_ok=True)
    array = _made(folder / f"{ROWS}.json", lambda out: _write_array(out, ROWS))
    lines = _made(folder / f"{ROWS}.ndjson", lambda out: _write_lines(out, ROWS))
    page = _made(folder / f"{EVENTS}.html", lambda out: _write_page(out, EVENTS))
    print("reader                rows/s     CPU s   peak MiB  own MiB   file MB")
    for processor, path in (("json", array), ("ndjson", lines), ("watch_history", page)):
        _show(processor, path, asyncio.run(read(processor, path)))
    try:
        python = installed()
    except Missing as error:
        print(f"peers are left out: {error}")
        return
    for name in ("ijson", "pandas", "json.load"):
        command = [python, str(SCRIPTS / "documents.py"), name, str(array)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=1800)
        _show(name, array, None if done.returncode else Seen(**json.loads(done.stdout.splitlines()[-1])))


async def read(processor: str, path: Path) -> Seen:
    """Read a file in a child, after one of its samples."""
    settings = Settings()
    source: dict[str, object] = {"key": None}
    async with Sandboxes(settings) as sandboxes, sandboxes.open(source, None) as child:
        await _read(child, processor, next((SAMPLES / processor).glob(f"*{path.suffix}")), source, settings)
        process = psutil.Process(child.pid)
        before = process.cpu_times()
        rows, own_mib = await _read(child, processor, path, source, settings)
        after = process.cpu_times()
        cpu_s = after.user + after.system - before.user - before.system
        return Seen(rows, cpu_s, _status_mib(child.pid, "VmHWM"), own_mib)


async def _read(
    child: Sandbox, processor: str, path: Path, source: dict[str, object], settings: Settings
) -> tuple[int, float]:
    """Rows, and the most memory that was the child's own when it had said another chunk."""
    size = path.stat().st_size
    source.update(path=str(path), size=size)
    request = {"processor": processor, "job_id": str(UUID(int=1)), "total": size, "options": {}}
    behind = {"cursor": None, "columns": None, "stop": None, "cut_bytes": None, "widens": None}
    child.ask({**request, **behind, "chunk_bytes": settings.chunk_bytes})
    rows, own_mib = 0, 0.0
    async with aclosing(child.frames()) as frames:
        async for frame in frames:
            rows += frame.fields["read"]
            (await child.payload(frame)).free()
            own_mib = max(own_mib, _status_mib(child.pid, "RssAnon"))
    return rows, own_mib


def _status_mib(pid: int, what: str) -> float:
    """RssAnon is memory of the process alone, without the files that it has mapped; VmHWM the most of all there was."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{what}:")[2].split()[0]) / 1024


def _show(name: str, path: Path, seen: Seen | None) -> None:
    if seen is None:
        print(f"{name:18} failed")
        return
    rate = seen.rows / max(seen.cpu_s, 1e-9)
    size = path.stat().st_size / 1e6
    own = "" if seen.own_mib is None else f"{seen.own_mib:.0f}"
    print(f"{name:18} {rate:9,.0f} {seen.cpu_s:9.2f} {seen.peak_mib:10.0f} {own:>8} {size:9.0f}")


def _made(path: Path, write: Callable[[Any], None]) -> Path:
    if not path.exists():
        partial = path.with_suffix(".part")
        with partial.open("w") as out:
            write(out)
        partial.rename(path)
    return path


def _row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Person {number}",
        "email": f"person{number}@example.org",
        "balance": number * 0.25,
        "active": number % 3 == 0,
        "born": f"19{number % 90 + 10}-0{number % 9 + 1}-1{number % 9}",
        "tags": ["a", "b", str(number % 17)],
        "place": {"city": f"City {number % 100}", "zip": f"{number % 99999:05}"},
    }


def _write_array(out: Any, rows: int) -> None:
    out.write("[\n")
    for number in range(rows):
        out.write((",\n" if number else "") + json.dumps(_row(number)))
    out.write("\n]\n")


def _write_lines(out: Any, rows: int) -> None:
    for number in range(rows):
        out.write(json.dumps(_row(number)) + "\n")


def _write_page(out: Any, events: int) -> None:
    """A page as Takeout writes it: one line, style sheets in front."""
    out.write("<html><head><style>" + "x" * 142_000 + '</style></head><body><div class="mdl-grid">')
    at = datetime(2026, 7, 12, 16, 20, 22, tzinfo=UTC)
    for number in range(events):
        when = (at - timedelta(minutes=7 * number)).strftime("%-d %b %Y, %H:%M:%S UTC")
        out.write(_ENTRY.format(id=f"v{number % 200_000:09}A", number=number, channel=number % 5_000, when=when))
    out.write("</div></body></html>")


_ENTRY = (
    '<div class="outer-cell mdl-cell mdl-cell--12-col mdl-shadow--2dp"><div class="mdl-grid">'
    '<div class="header-cell mdl-cell mdl-cell--12-col"><p class="mdl-typography--title">YouTube<br></p></div>'
    '<div class="content-cell mdl-cell mdl-cell--6-col mdl-typography--body-1">Watched&nbsp;'
    '<a href="https://www.youtube.com/watch?v={id}">A video, number {number}</a><br>'
    '<a href="https://www.youtube.com/channel/UC{channel:022}">Channel {channel}</a><br>{when}</div>'
    '<div class="content-cell mdl-cell mdl-cell--6-col mdl-typography--body-1 mdl-typography--text-right"></div>'
    '<div class="content-cell mdl-cell mdl-cell--12-col mdl-typography--caption"><b>Products:</b><br>&emsp;YouTube<br>'
    "<b>Why is this here?</b><br>&emsp;This activity was saved to your Google Account because the following settings "
    "were on:&nbsp;YouTube watch history.&nbsp;You can control these settings &nbsp;here.</div></div></div>"
)
