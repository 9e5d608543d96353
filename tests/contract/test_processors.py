"""The contract of every processor, checked against its samples: tests/samples/<processor>/<file> + .expected.json."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from service.domain.chunk import Chunk, Column, ColumnType, Cursor
from service.domain.processor import Cut, Processor, Work
from workers import numbering
from workers.columns import schema
from workers.registry import discover
from workers.until import Until

SAMPLES = Path(__file__).parents[1] / "samples"
PROCESSORS = discover()
FILES = [
    (processor, path)
    for name, processor in PROCESSORS.items()
    for path in sorted((SAMPLES / name).glob("*"))
    if not path.name.endswith(".expected.json")
]
CASES = [pytest.param(processor, path, id=f"{processor.name}/{path.name}") for processor, path in FILES]
BIG = 8 * 1024 * 1024
WHOLLY, SOME = 8, 3
"""From so many cursors of a file all of the rest is read, from each other one so many chunks."""


def run(
    processor: Processor,
    path: Path,
    *,
    cursor: Cursor | None = None,
    columns: tuple[Column, ...] | None = None,
    chunk_bytes: int = BIG,
    stop: int | None = None,
    most: int | None = None,
) -> list[Chunk]:
    expected = expectation(path)
    given = given_columns(expected) if columns is None else columns
    options = processor.options.model_validate(expected.get("options", {}))

    async def collect() -> list[Chunk]:
        with path.open("rb") as file:
            source = file if stop is None else cast(BinaryIO, Until(file, stop))
            work = Work(source, path.stat().st_size, options, cursor, given, chunk_bytes)
            found: list[Chunk] = []
            async for chunk in processor.chunks(work):
                found.append(chunk)
                if len(found) == most:
                    break
            return found

    return asyncio.run(collect())


def expectation(path: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads(path.with_name(path.name + ".expected.json").read_text())
    return expected


def given_columns(expected: dict[str, Any]) -> tuple[Column, ...] | None:
    if "given" not in expected:
        return None
    return tuple(Column(name, ColumnType(kind), *rest) for name, kind, *rest in expected["given"])


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.batch.to_pylist()]


def rejects(chunks: list[Chunk]) -> list[Any]:
    return [reject for chunk in chunks for reject in chunk.rejects]


def as_json(value: object) -> Any:
    plain = value.hex() if isinstance(value, bytes) else value
    return plain if isinstance(plain, bool | int | float | str | None) else str(plain)


def shape(column: Column) -> list[Any]:
    return [column.name, column.type.value] + ([] if column.scale is None else [column.scale])


@pytest.mark.parametrize("name", [name for name, known in PROCESSORS.items() if known.reads_file])
def test_every_processor_has_a_sample_and_a_title(name: str) -> None:
    assert any(processor.name == name for processor, _ in FILES)
    assert PROCESSORS[name].title


@pytest.mark.parametrize(("processor", "path"), CASES)
def test_a_sample_gives_what_is_expected_of_it(processor: Processor, path: Path) -> None:
    expected, chunks = expectation(path), run(processor, path)
    assert [shape(column) for column in chunks[0].columns] == expected["columns"]
    got = [[as_json(value) for value in row.values()] for row in rows(chunks)]
    assert got[: len(expected["rows"])] == expected["rows"]
    assert sum(chunk.read for chunk in chunks) == expected["read"]
    short = [{"row": r.row, "line": r.line, "column": r.column, "code": r.code} for r in rejects(chunks)]
    assert short == expected["rejects"]


@pytest.mark.parametrize("chunk_bytes", [64, BIG])
@pytest.mark.parametrize(("processor", "path"), CASES)
def test_every_chunk_adds_up(processor: Processor, path: Path, chunk_bytes: int) -> None:
    columns = run(processor, path)[0].columns
    chunks = run(processor, path, columns=columns, chunk_bytes=chunk_bytes)
    following, done = 1, 0
    for chunk in chunks:
        assert chunk.first_row == following
        assert chunk.batch.num_rows + len(chunk.rejects) == chunk.read
        assert chunk.columns == columns
        assert chunk.batch.schema == schema(columns)
        assert [r.row for r in chunk.rejects] == sorted({r.row for r in chunk.rejects})
        assert all(following <= r.row < following + chunk.read for r in chunk.rejects)
        assert all(r.code and r.message and r.suggestion and r.line >= 1 for r in chunk.rejects)
        assert json.loads(json.dumps(dict(chunk.cursor))) == dict(chunk.cursor)
        assert done <= chunk.done <= path.stat().st_size
        following, done = following + chunk.read, chunk.done


@pytest.mark.parametrize("chunk_bytes", [16, 64, BIG])
@pytest.mark.parametrize(("processor", "path"), CASES)
def test_a_resume_from_any_cursor_gives_the_same_rest(processor: Processor, path: Path, chunk_bytes: int) -> None:
    columns = run(processor, path)[0].columns
    chunks = run(processor, path, columns=columns, chunk_bytes=chunk_bytes)
    wholly = range(0, len(chunks), max(1, len(chunks) // WHOLLY))
    for number, chunk in enumerate(chunks, start=1):
        most = len(chunks) if number in wholly else SOME
        rest = run(processor, path, cursor=chunk.cursor, columns=columns, chunk_bytes=chunk_bytes, most=most)
        assert rest == chunks[number : number + most]


@pytest.mark.parametrize(("processor", "path"), CASES)
def test_blocks_that_grow_and_begin_small_again_at_a_resume_give_the_same_rows(
    processor: Processor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "FIRST_BYTES", 16)
    columns = run(processor, path)[0].columns
    chunks = run(processor, path, columns=columns, chunk_bytes=BIG)
    for number, chunk in enumerate(chunks, start=1):
        rest = run(processor, path, cursor=chunk.cursor, columns=columns, chunk_bytes=BIG)
        assert rows(rest) == rows(chunks[number:])
        assert rejects(rest) == rejects(chunks[number:])


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64])
@pytest.mark.parametrize(("processor", "path"), CASES)
def test_tiny_chunks_give_the_same_rows_and_rejects(processor: Processor, path: Path, chunk_bytes: int) -> None:
    whole = run(processor, path)
    cut = run(processor, path, columns=whole[0].columns, chunk_bytes=chunk_bytes)
    assert rows(cut) == rows(whole)
    assert rejects(cut) == rejects(whole)
    assert sum(chunk.read for chunk in cut) == sum(chunk.read for chunk in whole)


CUTTABLE = [case for case in CASES if case.values[0].cuts is not None]


@pytest.mark.parametrize("every", [1, 64])
@pytest.mark.parametrize(("processor", "path"), CUTTABLE)
def test_what_is_read_from_cut_to_cut_is_what_is_read_in_one_go(processor: Processor, path: Path, every: int) -> None:
    columns = run(processor, path)[0].columns
    whole = run(processor, path, columns=columns, chunk_bytes=16)
    for number in sorted({1, len(whole) // 2 or 1}):
        chunk = whole[number - 1]
        cuts = cuts_behind(processor, path, columns, chunk.cursor, every)
        stops = [*(cut.offset for cut in cuts), None]
        assert stops[:-1] == sorted(set(stops[:-1]))
        firsts = [chunk.first_row + chunk.read, *(cut.row for cut in cuts)]
        parts = []
        for cursor, stop, first_row in zip([chunk.cursor, *(c.cursor for c in cuts)], stops, firsts, strict=True):
            part = run(processor, path, cursor=cursor, columns=columns, chunk_bytes=64, stop=stop)
            assert all(piece.first_row == first_row for piece in part[:1])
            parts += part
        assert rows(parts) == rows(whole[number:])
        assert rejects(parts) == rejects(whole[number:])


def cuts_behind(processor: Processor, path: Path, columns: tuple[Column, ...], cursor: Cursor, every: int) -> list[Cut]:
    options = processor.options.model_validate(expectation(path).get("options", {}))
    assert processor.cuts is not None
    with path.open("rb") as source:
        return list(processor.cuts(Work(source, path.stat().st_size, options, cursor, columns, BIG), every))
