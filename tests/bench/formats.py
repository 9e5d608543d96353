"""Readers of JSON and watch histories by themselves, each in a process of its own: rows, CPU seconds, peak memory.

Memory is told twice: all of it, half of which is the code of libraries that every child shares, and what is its own.

`python -m tests.bench formats`; that process is `python -m tests.bench.formats PROCESSOR FILE`. Peers read the JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.dirty import installed
from tests.bench.peer import SCRIPTS, Missing

ROWS = int(os.environ.get("BENCH_ROWS", "500000"))
EVENTS = int(os.environ.get("BENCH_EVENTS", "306000"))
CHUNK_BYTES = 6 * 1024 * 1024


def main(build: Path) -> None:
    """Print a line for each reader of each file."""
    folder = build / "formats"
    folder.mkdir(parents=True, exist_ok=True)
    array = _made(folder / f"{ROWS}.json", lambda out: _write_array(out, ROWS))
    lines = _made(folder / f"{ROWS}.ndjson", lambda out: _write_lines(out, ROWS))
    page = _made(folder / f"{EVENTS}.html", lambda out: _write_page(out, EVENTS))
    print("reader                rows/s     CPU s   peak MiB  own MiB   file MB")
    for processor, path in (("json", array), ("ndjson", lines), ("watch_history", page)):
        _show(processor, path, [sys.executable, "-m", "tests.bench.formats", processor, str(path)])
    try:
        python = installed()
    except Missing as error:
        print(f"peers are left out: {error}")
        return
    for name in ("ijson", "pandas", "json.load"):
        _show(name, array, [python, str(SCRIPTS / "documents.py"), name, str(array)])


def read(processor: str, path: Path) -> None:
    """Read a file as a child does, but for the encoding of its rows; tell what that took."""
    sys.modules["dateutil"] = None  # type: ignore[assignment]  # as in a child
    from service.domain.processor import Work
    from workers.registry import discover

    found = discover()[processor]
    assert found.chunks is not None
    chunks = found.chunks

    async def count() -> int:
        with path.open("rb") as source:
            work = Work(source, path.stat().st_size, found.options(), None, None, CHUNK_BYTES)
            rows = 0
            async for chunk in chunks(work):
                rows += chunk.read
                own.append(own_mib())
            return rows

    own: list[float] = []
    began = time.process_time()
    told(asyncio.run(count()), time.process_time() - began, max(own))


def told(rows: int, cpu_s: float, own: float | None = None) -> None:
    """One line of JSON on what a reader did."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "cpu_s": cpu_s, "peak_mib": peak, "own_mib": own}))


def own_mib() -> float:
    """Memory of this process alone, without the files that it has mapped."""
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) / 1024


def _show(name: str, path: Path, command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=1800)
    if done.returncode:
        print(f"{name:18} failed")
        return
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rate = seen["rows"] / max(seen["cpu_s"], 1e-9)
    size = path.stat().st_size / 1e6
    own = "" if seen.get("own_mib") is None else f"{seen['own_mib']:.0f}"
    print(f"{name:18} {rate:9,.0f} {seen['cpu_s']:9.2f} {seen['peak_mib']:10.0f} {own:>8} {size:9.0f}")


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


if __name__ == "__main__":
    read(sys.argv[1], Path(sys.argv[2]))
