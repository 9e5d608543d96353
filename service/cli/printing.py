"""Prints lists: as JSON arrays, or as tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def print_array(texts: Iterable[str]) -> None:
    """A JSON array, one element a line, as the elements come."""
    opened = "["
    for text in texts:
        print(opened, text, sep="\n", end="")
        opened = ","
    print(opened if opened == "[" else "", "]", sep="\n" if opened == "," else "")


def print_table(columns: Sequence[str], cells: Iterable[Sequence[str]], nothing: str) -> None:
    """A table on a terminal, else tab-separated lines; `nothing` on a terminal without any."""
    if sys.stdout.isatty():
        from service.cli.bars import table

        found = list(cells)  # as many as were asked for
        table(columns, found) if found else print(nothing)
        return
    print(*columns, sep="\t")
    for row in cells:
        print(*row, sep="\t")
