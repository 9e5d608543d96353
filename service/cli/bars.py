"""Live bars and tables for terminals, by rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from service.cli import wording
from service.cli.client import Json
from service.cli.display import Seen, Sent

COLUMN_WIDTH = 12


class Bars:
    """One bar while a file goes up, one while its job runs."""

    def __init__(self) -> None:
        self._console = Console(markup=False, highlight=False)

    @contextmanager
    def upload(self, name: str, size_bytes: int | None) -> Iterator[Sent]:
        """Name, bar, bytes, speed, time left."""
        columns = (_text("what"), BarColumn(None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, expand=True) as progress:
            bar = progress.add_task("", total=size_bytes, what=f"uploading {wording.printable(name)}")
            yield lambda size: progress.advance(bar, size)

    @contextmanager
    def job(self, job: Json) -> Iterator[Seen]:
        """Phase, bar, percent, rows, rejected, rate, time. It is cleared at the end: the summary says the same."""
        columns = (_text("phase"), BarColumn(None), _text("percent"), _text("situation"), _text("elapsed"))
        with Progress(*columns, console=self._console, expand=True, transient=True) as progress:
            bar = progress.add_task("", **_fields(job))

            def look(job: Json, _event: str) -> None:
                known = job["progress"]["percent"]
                progress.update(
                    bar, completed=known or 0, total=None if known is None else 100, refresh=True, **_fields(job)
                )

            yield look

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(Text(text))

    def end(self, job: Json, text: str) -> None:
        """The summary, its first word coloured by how it went."""
        state = Text(job["state"], style="bold green" if job["state"] == "completed" else "bold red")
        self._console.print(state + Text(text.removeprefix(job["state"])))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under a header: the first column whole, the others wrapped, and no more of them than can be read."""
    console = Console()
    fit = max(8, console.width // COLUMN_WIDTH)
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns[:fit]:
        drawn.add_column(Text(column), no_wrap=column == columns[0], overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row[:fit]))
    console.print(drawn)
    if len(columns) > fit:
        console.print(Text(f"… and {len(columns) - fit} more columns; --format json shows them.", style="dim"))


def _fields(job: Json) -> Json:
    return {
        "phase": wording.phase(job),
        "percent": wording.percent(job),
        "situation": wording.situation(job),
        "elapsed": wording.duration(wording.elapsed_s(job)),
    }


def _text(field: str) -> TextColumn:
    return TextColumn(f"{{task.fields[{field}]}}", markup=False)
