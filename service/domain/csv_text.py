"""CSV as it is handed to people: cells that a spreadsheet would run as formulas get an apostrophe in front.

`restored` is the exact inverse of `safe`. The SQL function `spreadsheet_safe` does the same as `safe`; a test holds
them to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = r"^'('*[=+@\t\r-])"
"""A text that `safe` put an apostrophe in front of; group one is where the text itself starts."""

_RUNS = re.compile(r"'*[=+@\t\r-]")
_NUMBER = re.compile(r"[+-]([0-9]+([.,'][0-9]+)*|[.,][0-9]+)([eE][+-]?[0-9]+)?%?")
_HIDDEN = re.compile(HIDDEN)
_QUOTED = re.compile(r'[",;\r\n]|^\s|\s$|^$')


def safe(text: str) -> str:
    """The text as a spreadsheet may open it. Numbers such as -5 stay."""
    return "'" + text if _RUNS.match(text) and not _NUMBER.fullmatch(text) else text


def restored(text: str) -> str:
    """The text that `safe` was given."""
    return text[1:] if _HIDDEN.match(text) else text


def record(cells: Iterable[str | None]) -> str:
    """One CSV record with its line end, safe for spreadsheets. None is an empty cell, "" a quoted one."""
    return ",".join("" if cell is None else _quoted(safe(cell)) for cell in cells) + "\r\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
