"""Reads one file with another reader, all as text, found out by itself: `python readers.py NAME FILE` prints JSON."""

from __future__ import annotations

import json
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


if __name__ == "__main__":
    name, path = sys.argv[1:]
    print(json.dumps({f.__name__.strip("_"): f for f in (pandas_, duckdb_, polars_, clevercsv_)}[name](path)))
