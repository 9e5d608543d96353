"""Which cells widen which types, whatever the chunks; and types that hold although a few cells are wrong."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Chunk, Column, ColumnType, TooNarrow, Widens
from service.domain.processor import Work
from workers.inference import judge
from workers.processors.csv import CsvOptions, processor
from workers.widening import STEPS, TEXT_CELLS


def attempt(data: bytes, columns: tuple[Column, ...] | None, widens: Widens | None, chunk_bytes: int) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        work = Work(io.BytesIO(data), len(data), CsvOptions(header=True), None, columns, chunk_bytes, widens)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def read(first: str, cells: Sequence[str], chunk_bytes: int = 1 << 23) -> tuple[Column, list[str], list[int]]:
    """Read the cells below a sample of `first` alone: the type in the end, the values, and the rows refused."""
    table = ["n,k", *(f"{cell},k" for cell in (first, *cells))]
    data = ("\n".join(table) + "\n").encode()
    types: dict[str, Column] = {c.name: c for c in attempt(data[: len(f"n,k\n{first},k\n")], None, None, 99)[0].columns}
    steps: dict[str, int] = {}
    while True:
        try:
            chunks = attempt(data, None, Widens(types, steps), chunk_bytes)
        except TooNarrow as error:
            (found,) = error.widenings
            types[found.new.name] = found.new
            steps[found.new.name] = steps.get(found.new.name, 0) + found.steps
            continue
        values = [str(row["n"]) for chunk in chunks for row in chunk.batch.to_pylist()]
        return chunks[0].columns[0], values, [reject.row for chunk in chunks for reject in chunk.rejects]


@pytest.mark.parametrize(
    ("first", "cells", "kind"),
    [
        ("1", ["2147483648"], "bigint"),
        ("1", ["9223372036854775808"], "numeric(0)"),
        ("1", ["2147483648", "9223372036854775808"], "numeric(0)"),
        ("1", ["1.5"], "double"),
        ("1", ["1e3"], "double"),
        ("1", ["0.1234567890123456"], "numeric(16)"),
        ("3000000000", ["1.25"], "numeric(2)"),
        ("1.50", ["1.125", "2.0625"], "numeric(4)"),
        ("1.50", ["1.500"], "numeric(2)"),
        ("2024-01-31", ["2024-01-31T10:00"], "timestamp"),
        ("2024-01-31", ["2024-01-31T10:00Z"], "date"),
        ("1", ["9" * 39], "integer"),
        ("1", ["x"], "integer"),
        ("true", ["maybe"], "boolean"),
        ("1", ["x"] * TEXT_CELLS, "text"),
        ("1", ["x"] * (TEXT_CELLS - 1), "integer"),
        ("1", ["7"] * 3_000 + ["x"] * TEXT_CELLS, "integer"),
        ("1", ["x"] * (TEXT_CELLS - 1) + ["7"] * 500 + ["x"], "text"),
        ("2024-01-31", ["soon"] * TEXT_CELLS, "text"),
    ],
)
def test_what_a_column_widens_to(first: str, cells: list[str], kind: str) -> None:
    column, _, refused = read(first, cells)
    assert (column.type.value if column.scale is None else f"{column.type.value}({column.scale})") == kind
    if kind == "text":
        assert refused == []


CELLS = st.sampled_from(
    ["1", "", "x", "007", "1.5", "2.25", "-0.125", "2147483648", "9" * 20, "9" * 39, "1e2", "1.123456789012345678"]
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["1", "3000000000", "1.50", "2.5"]), st.lists(CELLS, max_size=12), st.integers(1, 80))
def test_the_same_types_rows_and_rejects_come_of_any_chunks(first: str, cells: list[str], chunk_bytes: int) -> None:
    assert read(first, cells, chunk_bytes) == read(first, cells)


def test_a_column_widens_a_few_times_and_then_refuses() -> None:
    cells = [f"1.{'0' * places}1" for places in range(2, 12)]
    column, values, refused = read("1.50", cells)
    assert (column.type.value, column.scale) == ("numeric", 2 + STEPS)
    assert len(values) == 1 + STEPS
    assert refused == list(range(2 + STEPS, 12))


def test_other_columns_may_be_at_fault_without_widening_this_one() -> None:
    data = b"n,d\n1,2024-01-01\n" + b"2,soon\n" * 150
    with pytest.raises(TooNarrow) as caught:
        attempt(data, None, Widens({"d": Column("d", ColumnType.DATE)}), 1 << 20)
    (found,) = caught.value.widenings
    assert (found.old.name, found.new.type.value, found.row, found.text) == ("d", "text", 101, "soon")


def judged(*cells: str) -> tuple[str, list[str]]:
    found = judge("a", pa.array(cells, pa.string())).as_json()
    return found["type"], found["exceptions"]


@pytest.mark.parametrize(
    ("cells", "kind", "exceptions"),
    [
        (["1"] * 99 + ["x"], "integer", ["x"]),
        (["1.50"] * 99 + ["n/a"], "numeric", ["n/a"]),
        (["2024-01-31"] * 99 + ["2024-02-30"], "date", ["2024-02-30"]),
        (["true", "false"] * 50 + ["?"], "boolean", ["?"]),
        (["1"] * 9 + ["x"], "text", []),
        (["1"] * 97 + ["x"] * 3, "text", []),
        (["1"] * 99 + ["007"], "text", []),
        (["1"] * 99 + ["+5"], "text", []),
        (["1"] * 99 + ["1,234"], "text", []),
        (["1"] * 99 + [" 5"], "text", []),
        (["1"] * 99 + ["9" * 40], "text", []),
        (["t"] * 100, "text", []),
    ],
)
def test_a_few_wrong_cells_of_many_do_not_make_a_column_text(
    cells: list[str], kind: str, exceptions: list[str]
) -> None:
    assert judged(*cells) == (kind, exceptions)


def test_evidence_says_how_sure_a_type_is() -> None:
    shown: dict[str, Any] = judge("a", pa.array(["1", "2", "", None], pa.string())).as_json()
    assert shown == {
        "type": "integer",
        "scale": None,
        "confidence": 0.75,
        "share": 1.0,
        "cells": 2,
        "samples": ["1", "2"],
        "exceptions": [],
        "alternatives": ["bigint", "numeric", "double", "text"],
    }
