"""Reads files with another reader, all as text, found out by itself: `python readers.py NAME FILE…`.

Prints a line of JSON for each file, null where the reader refuses it or takes too long.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any


def pandas_(path: str) -> list[list[Any]]:
    import pandas

    frame = pandas.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    return [list(frame.columns), *frame.values.tolist()]


def duckdb_(path: str) -> list[list[Any]]:
    import duckdb

    found = duckdb.read_csv(path, all_varchar=True)
    return [list(found.columns), *map(list, found.fetchall())]


def polars_(path: str) -> list[list[Any]]:
    import polars

    frame = polars.read_csv(path, infer_schema=False)
    return [list(frame.columns), *map(list, frame.rows())]


def clevercsv_(path: str) -> list[list[Any]]:
    import clevercsv

    return clevercsv.read_table(path)


READERS = {"pandas": pandas_, "duckdb": duckdb_, "polars": polars_, "clevercsv": clevercsv_}
LONGEST_S = 20


def refuse(*_: object) -> None:
    """A file takes too long."""
    raise TimeoutError


if __name__ == "__main__":
    name, *paths = sys.argv[1:]
    signal.signal(signal.SIGALRM, refuse)
    for path in paths:
        signal.alarm(LONGEST_S)
        try:
            found = READERS[name](path)
        except BaseException:  # polars panics with one of these
            found = None
        signal.alarm(0)
        print(json.dumps(found), flush=True)
