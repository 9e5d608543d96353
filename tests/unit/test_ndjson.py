"""The ndjson processor."""

from __future__ import annotations

import asyncio
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Chunk, Column, ColumnType
from service.domain.errors import InputError
from service.domain.processor import NoOptions, Work
from workers.processors.ndjson import processor


def run(
    data: bytes, columns: tuple[Column, ...] | None = None, chunk_bytes: int = 1 << 20, cursor: Any = None
) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        work = Work(io.BytesIO(data), len(data), NoOptions(), cursor, columns, chunk_bytes)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.batch.to_pylist()]


def kinds(data: bytes) -> dict[str, str]:
    return {column.name: column.type.value for column in run(data)[0].columns}


def codes(chunks: list[Chunk]) -> list[str]:
    return [reject.code for chunk in chunks for reject in chunk.rejects]


def test_types_come_from_the_values_of_the_first_chunk() -> None:
    row = {"i": 1, "l": 2**40, "h": 2**70, "f": 0.5, "b": True, "s": "x", "d": "2024-01-31", "o": {"a": [1]}, "n": None}
    assert kinds(json.dumps(row).encode()) == {
        **{"i": "integer", "l": "bigint", "h": "numeric", "f": "double", "b": "boolean"},
        **{"s": "text", "d": "date", "o": "jsonb", "n": "text"},
    }


def test_mixed_values_are_text_and_integers_stay_exact() -> None:
    data = b'{"a": 1, "b": 9007199254740993}\n{"a": "x", "b": 0.5}\n'
    assert rows(run(data)) == [{"a": "1", "b": "9007199254740993"}, {"a": "x", "b": "0.5"}]


def test_a_number_keeps_the_digits_it_is_written_with() -> None:
    columns = (Column("n", ColumnType.NUMERIC, 20), Column("j", ColumnType.JSONB))
    data = b'{"n": 0.12345678901234567890, "j": {"x": 1.50, "y": [12345678901234567890]}}\n'
    row = rows(run(data, columns))[0]
    assert row == {"n": Decimal("0.12345678901234567890"), "j": '{"x": 1.50, "y": [12345678901234567890]}'}


def test_lines_that_are_no_objects_are_rejected_with_the_position() -> None:
    data = b'{"a":1}\n{"a":\n[1]\n{"a":NaN}\n{"b":1}\n{"a":"\xff"}\n{"a":"\\ud800"}\n{"a":1,"A":2}\n' + b"[" * 100_000
    chunks = run(data, (Column("a", ColumnType.INTEGER),))
    assert codes(chunks) == [
        *("invalid_json", "not_an_object", "invalid_json", "unknown_key"),
        *("invalid_utf8", "invalid_json", "duplicate_key", "invalid_json"),
    ]
    assert "character 6" in chunks[0].rejects[0].message


def test_a_huge_integer_is_rejected_and_not_an_accident() -> None:
    chunks = run(b'{"a":1}\n{"a":' + b"9" * 5_000 + b"}\n", (Column("a", ColumnType.INTEGER),))
    assert codes(chunks) == ["invalid_json"]


@pytest.mark.parametrize(("data", "code"), [(b"", "file_empty"), (b"[1]\n2\n", "no_objects")])
def test_a_file_without_objects_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        run(data)
    assert caught.value.code == code


def test_very_many_lines_come_in_bounded_chunks_and_resume() -> None:
    data = b'{"a":1}\n' * 60_000 + b'{"a":"x"}\n'
    chunks = run(data)
    assert len(chunks) > 1
    assert max(chunk.read for chunk in chunks) < 60_000
    assert run(data, chunks[0].columns, cursor=chunks[0].cursor) == chunks[1:]


SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(alphabet='ab1é\n"\\', max_size=5))
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=6), st.integers(1, 50))
def test_any_json_goes_into_a_jsonb_column_unchanged(values: list[Any], chunk_bytes: int) -> None:
    data = "".join(json.dumps({"v": value}) + "\n" for value in values).encode()
    chunks = run(data, (Column("v", ColumnType.JSONB),), chunk_bytes)
    stored = [row["v"] if row["v"] is None else json.loads(row["v"]) for row in rows(chunks)]
    assert stored == values


def test_lines_are_counted_alike_within_a_block_and_across_blocks() -> None:
    data = b'{"a":1}\n{"a":\r2}\n{"a":1\r}\rx\n{"a":3}\nx\n'
    found = [(reject.row, reject.line) for reject in run(data)[0].rejects]
    assert found == [(3, 4), (5, 8)]
    cut = run(data, (Column("a", ColumnType.INTEGER),), 1)
    assert [(reject.row, reject.line) for chunk in cut for reject in chunk.rejects] == found
