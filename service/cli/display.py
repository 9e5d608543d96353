"""What a person or a program sees while a file goes up and a job is followed: bars, plain lines, or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from service.cli import wording
from service.cli.client import Json

LINE_EVERY_S = 1.0

Sent = Callable[[int], None]
"""Told how many bytes just went out."""
Seen = Callable[[Json, str], None]
"""Told the job as it is now, and the event's JSON text."""


class Display(Protocol):
    """One way of showing."""

    def upload(self, name: str, size_bytes: int | None) -> AbstractContextManager[Sent]:
        """Show a file going up."""

    def job(self, job: Json) -> AbstractContextManager[Seen]:
        """Show a job going on."""

    def say(self, text: str) -> None:
        """Show a sentence."""

    def end(self, job: Json, text: str) -> None:
        """Show the last word on a job."""


def display(*, as_json: bool) -> Display:
    """The one that fits standard output."""
    if as_json:
        return JsonLines()
    if sys.stdout.isatty():
        from service.cli.bars import Bars  # rich is for terminals only

        return Bars()
    return Lines()


class Lines:
    """Plain lines, at most one a second."""

    @contextmanager
    def upload(self, name: str, size_bytes: int | None) -> Iterator[Sent]:
        """Say that it begins, now and then how far it is, and that it is done."""
        began_s, due, sent = time.monotonic(), _Due(10 * LINE_EVERY_S), 0
        of = "" if size_bytes is None else f" of {wording.size(size_bytes)}"
        self.say(f"uploading {wording.printable(name)}{of.replace(' of', ',')}")

        def add(size: int) -> None:
            nonlocal sent
            sent += size
            if due():
                self.say(f"uploading {wording.size(sent)}{of}")

        yield add
        self.say(f"uploaded {wording.size(sent)} in {wording.duration(time.monotonic() - began_s)}")

    @contextmanager
    def job(self, job: Json) -> Iterator[Seen]:
        """A line for each new phase, and one a second while rows come in."""
        due, last = _Due(LINE_EVERY_S), ""

        def look(job: Json, _event: str) -> None:
            nonlocal last
            phase = wording.phase(job)
            if phase != last or due():
                last = phase
                self.say(f"{phase} {wording.percent(job)} · {wording.situation(job)}")

        yield look

    def say(self, text: str) -> None:
        """A line."""
        print(text, flush=True)

    def end(self, _job: Json, text: str) -> None:
        """A line."""
        self.say(text)


class JsonLines:
    """JSON for programs: each event as it comes, the job itself last."""

    @contextmanager
    def upload(self, _name: str, _size_bytes: int | None) -> Iterator[Sent]:
        """Nothing to say."""
        yield lambda _size: None

    @contextmanager
    def job(self, _job: Json) -> Iterator[Seen]:
        """Each event on a line."""
        yield lambda _job, event: print(event, flush=True) if event else None

    def say(self, text: str) -> None:
        """Words are for people, so not on standard output."""
        print(text, file=sys.stderr)

    def end(self, job: Json, _text: str) -> None:
        """The job on a line."""
        import json

        print(json.dumps(job, ensure_ascii=False), flush=True)


class _Due:
    """True at most once in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = time.monotonic() + every_s

    def __call__(self) -> bool:
        if (now_s := time.monotonic()) < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True
