"""The csv processor on files that are ordinary, odd and hostile."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import RAW_LIMIT, Chunk, Column, ColumnType
from service.domain.column_spec import ColumnSpec
from service.domain.errors import InputError
from service.domain.processor import Work
from workers import parsing
from workers.dialect import COMMA
from workers.formats import PLAIN, Format
from workers.processors.csv import CsvOptions, processor
from workers.shaping import Field, Shape
from workers.sifting import sifted

SAMPLES = sorted((Path(__file__).parents[1] / "samples" / "csv").glob("*.[ct]sv"))
INTEGER, TEXT = ColumnType.INTEGER, ColumnType.TEXT
Style = Literal[0, 1]


def run(
    data: bytes,
    columns: tuple[Column, ...] | None = None,
    chunk_bytes: int = 1 << 23,
    cursor: Any = None,
    **options: Any,
) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        work = Work(io.BytesIO(data), len(data), CsvOptions(**options), cursor, columns, chunk_bytes)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def rows(chunks: list[Chunk]) -> list[list[Any]]:
    return [list(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()]


def rejects(chunks: list[Chunk]) -> list[tuple[int, int, str | None, str]]:
    return [(r.row, r.line, r.column, r.code) for chunk in chunks for r in chunk.rejects]


def shape(chunks: list[Chunk]) -> list[tuple[str, str]]:
    return [(column.name, column.type.value) for column in chunks[0].columns]


def code(data: bytes, **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        run(data, **more)
    assert caught.value.suggestion
    return caught.value.code


def test_a_file_without_rows_is_refused() -> None:
    assert [code(data) for data in (b"", b"\xef\xbb\xbf", b"\n \r\n\n")] == ["file_empty"] * 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1", "cp850", "mac-roman"])
def test_other_encodings_are_found(encoding: str) -> None:
    assert shape(run("größe,b\n1,2\n".encode(encoding))) == [("größe", "integer"), ("b", "integer")]


def test_a_header_alone_gives_the_dataset_its_shape() -> None:
    chunks = run(b"\xef\xbb\xbfid,Name\r\n")
    assert shape(chunks) == [("id", "text"), ("name", "text")]
    assert [(chunk.read, chunk.batch.num_rows) for chunk in chunks] == [(0, 0)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    text = 'id,text,n\n1,"a;b,c|d",5\n2,x,6\n'.replace(",", delimiter)
    assert shape(run(text.encode())) == [("id", "integer"), ("text", "text"), ("n", "integer")]


def test_decimal_commas_do_not_pass_for_delimiters() -> None:
    assert rows(run(b"1,5;2,5\n3,5;4,5\n")) == [[1.5, 2.5], [3.5, 4.5]]


def test_one_column_is_enough() -> None:
    assert rows(run(b"name\nada\n\nbob\n")) == [["ada"], ["bob"]]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a,b\n1,2\n", ["a", "b"]),
        (b"a,b\nx,y\n", ["a", "b"]),
        (b"1,2\n3,4\n", ["column_1", "column_2"]),
        (b"x,2024-01-31\ny,2024-01-31\n", ["column_1", "column_2"]),
        (b",name,age\n0,ada,36\n", ["column_1", "name", "age"]),
        (b"a,a\n1,x\n", ["a", "a_2"]),
        (b"x,,x\ny,,z\n", ["column_1", "column_2", "column_3"]),
        (b"land,2019,2020\nDE,83.1,83.2\nFR,67.0,67.4\n", ["land", "_2019", "_2020"]),
        (b"land,2020-01,2019-12\nDE,1,2\n", ["land", "_2020_01", "_2019_12"]),
        (b"Ann,2019,2020\nBob,2017,2021\n", ["column_1", "column_2", "column_3"]),
        (b"Ann,2019,1\nBob,7,2\n", ["column_1", "column_2", "column_3"]),
    ],
)
def test_the_header_is_found(data: bytes, names: list[str]) -> None:
    assert [name for name, _ in shape(run(data))] == names


def test_the_header_option_decides() -> None:
    assert rows(run(b"a,b\nx,y\n", header=False)) == [["a", "b"], ["x", "y"]]
    assert shape(run(b"1,2\n3,4\n", header=True)) == [("_1", "integer"), ("_2", "integer")]


def test_columns_of_the_dataset_are_matched_by_name_in_any_order() -> None:
    columns = (Column("a", INTEGER), Column("missing", TEXT), Column("b", TEXT))
    assert rows(run(b"B,A\nx,1\n", columns)) == [[1, None, "x"]]


def test_a_column_the_dataset_lacks_is_an_error_that_names_it() -> None:
    assert code(b"a,c\n1,2\n", columns=(Column("a", INTEGER), Column("b", TEXT))) == "schema_mismatch"


def test_quoted_emptiness_is_text_and_nothing_elsewhere() -> None:
    columns = (Column("n", INTEGER), Column("t", TEXT))
    assert rows(run(b'n,t\n"",""\n,\n', columns)) == [[None, ""], [None, None]]


def test_numbers_of_bad_rows_are_exact_behind_line_ends_in_quotes() -> None:
    data = b'id,t\r\n1,"a\r\nb\r\nc"\r\n\r\nx,"d\ne"\r\n3\r\n4,ok\r\n'
    chunks = run(data, (Column("id", INTEGER), Column("t", TEXT)))
    assert rejects(chunks) == [(2, 6, "id", "not_an_integer"), (3, 8, None, "wrong_field_count")]
    assert rows(chunks) == [[1, "a\r\nb\r\nc"], [4, "ok"]]


def test_cells_that_are_not_in_the_encoding_are_rejected_and_the_rest_goes_in() -> None:
    data = "id,t\n1,größe\n2,ok\n".encode("latin-1")
    chunks = run(data, encoding="utf-8")
    assert rejects(chunks) == [(1, 2, None, "invalid_utf8")]
    assert rows(chunks) == [[2, "ok"]]
    assert "\ufffd" in chunks[0].rejects[0].raw
    assert rows(run(data)) == [[1, "größe"], [2, "ok"]]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_chunk_size_gives_the_same_rows(sample: Path) -> None:
    data = sample.read_bytes()
    whole = run(data)
    for chunk_bytes in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144):
        cut = run(data, whole[0].columns, chunk_bytes)
        assert rows(cut) == rows(whole)
        assert rejects(cut) == rejects(whole)


def test_a_file_of_only_bad_rows_comes_in_bounded_chunks() -> None:
    data = b"n\n" + b"x\n" * 150_000
    chunks = run(data, (Column("n", INTEGER),))
    assert len(chunks) > 2
    assert max(chunk.read for chunk in chunks) <= 100_000
    assert sum(len(chunk.rejects) for chunk in chunks) == 150_000
    assert chunks[-1].rejects[-1].line == 150_001
    for number in (1, len(chunks) // 2, len(chunks) - 1):
        assert run(data, chunks[0].columns, cursor=chunks[number - 1].cursor) == chunks[number:]


def test_a_reject_of_a_very_long_row_says_that_it_is_cut() -> None:
    data = b"n,t\nx," + b"y" * RAW_LIMIT + b"\nx,short\n"
    (chunk,) = run(data, (Column("n", INTEGER), Column("t", TEXT)))
    long, short = chunk.rejects
    assert (len(long.raw), long.cut, long.cells) == (RAW_LIMIT, True, None)
    assert (short.raw, short.cut, short.cells) == ("x,short", False, ("x", "short"))


def test_rejects_with_much_text_come_in_bounded_chunks() -> None:
    data = b"n,t\n" + (b"x," + b"y" * 5_000 + b"\n") * 1_200
    chunks = run(data, (Column("n", INTEGER), Column("t", TEXT)))
    assert len(chunks) > 1
    assert all(len(reject.raw) == 5_002 and not reject.cut for chunk in chunks for reject in chunk.rejects)
    assert sum(chunk.read for chunk in chunks) == 1_200


def test_a_field_of_20_mb_costs_its_row_only() -> None:
    chunks = run(b'id,t\n1,a\n2,"' + b"x" * 20_000_000 + b'"\n3,c\n')
    assert rejects(chunks) == [(2, 3, None, "record_too_large")]
    assert rows(chunks) == [[1, "a"], [3, "c"]]


def test_a_quote_on_every_line_takes_bounded_time() -> None:
    started = time.process_time()
    chunks = run(b"a,b\n" + b'1,"x\n' * 400_001)
    assert time.process_time() - started < 10
    assert chunks[-1].done == 4 + 5 * 400_001


def test_38_nines_do_not_wrap_around() -> None:
    columns = (Column("n", ColumnType.NUMERIC, 2),)
    chunks = run(b"n\n1.50\n" + b"9" * 38 + b"\n1.555\n", columns)
    assert [entry[3] for entry in rejects(chunks)] == ["out_of_range", "too_many_decimals"]


CELL = st.text(alphabet='ab1,;"\n\r é\t|', max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 60),
)
def test_what_csv_writer_wrote_is_read_back(table: list[list[str]], delimiter: str, end: str, chunk_bytes: int) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(table)
    columns = tuple(Column(f"column_{i}", TEXT) for i in range(1, len(table[0]) + 1))
    chunks = run(out.getvalue().encode(), columns, chunk_bytes, delimiter=delimiter, header=False)
    assert rows(chunks) == table


KINDS = [
    *(Column(kind.value, kind) for kind in ColumnType if kind is not ColumnType.NUMERIC),
    Column("numeric", ColumnType.NUMERIC, 2),
]
TYPED = st.one_of(
    st.text(alphabet='0123456789+-.eExX:TZ "truefalsnyoi\t\0é', max_size=10),
    st.from_regex(r"[ \t]?[+-]?[0-9]{0,39}(\.[0-9]{0,4})?(e[0-9]{1,3})?[ \t]?", fullmatch=True),
    st.sampled_from(["true", "True", "t", "yes", "1", "0", " true", "nan", "NaN", "-inf", "Infinity", "0x1F", "1e400"]),
    st.sampled_from(["", " ", "2024-01-31", "2024-02-30", "0000-01-01", " 2024-01-31", "9999-12-31", "10000-01-01"]),
    st.sampled_from(["2024-01-31T10", "2024-01-31 10:00", "2024-01-31T24:00", "9999-12-31T23:59-05:00"]),
    st.sampled_from(["2024-01-31T10Z", "2024-01-31T10:00+01", "2024-01-31T10:00:00.1234567Z", "0001-01-01T00:00+01"]),
    st.sampled_from(["123e4567-e89b-12d3-a456-426614174000", "123E4567-e89b-12d3-a456_426614174000"]),
    st.sampled_from(['{"a": 1}', "[1", '"\\u0000"', "null"]),
    st.datetimes().map(lambda t: t.isoformat() + "+02:00"),
    st.integers(-(2**65), 2**65).map(str),
)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(KINDS), st.lists(TYPED, min_size=1, max_size=4), st.booleans())
def test_all_ways_of_reading_agree(column: Column, cells: list[str], quoted: bool) -> None:
    out = io.StringIO()
    style: Style = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(out, lineterminator="\n", quoting=style).writerows([["k", cell] for cell in cells])
    data, shape, rows = out.getvalue().encode(), as_they_stand((Column("k", TEXT), column)), np.arange(len(cells))
    looked = parsing.look(data, COMMA, shape, rows, rows)
    for doubtful in (set[int](), {1}, {0, 1}, set(range(100))):
        sieve = sifted(data, COMMA, shape, doubtful)
        assert sieve.odd.tolist() == (~looked.good).tolist()
        assert repr(sieve.arrays[column.name].to_pylist()) == repr(looked.arrays[column.name].to_pylist())
    assert [reject.row for reject in looked.rejects()] == np.flatnonzero(~looked.good).tolist()


def as_they_stand(columns: tuple[Column, ...], written: Format = PLAIN) -> Shape:
    """A dataset of the file's own columns."""
    specs = [ColumnSpec.model_construct(name=column.name) for column in columns]
    fields = zip(columns, range(len(columns)), specs, strict=True)
    return Shape(len(columns), tuple(Field(column, place, spec, written) for column, place, spec in fields))


def test_rows_are_the_same_whether_or_not_blocks_before_had_bad_ones() -> None:
    good, bad = b"".join(b"%d,x\n" % number for number in range(2_000)), b"a,b,c\n" * 5
    data = b"n,t\n" + bad + good + bad + good
    columns = (Column("n", INTEGER), Column("t", TEXT))
    whole, cut = run(data, columns), run(data, columns, 512)
    assert rows(cut) == rows(whole)
    assert rejects(cut) == rejects(whole)
    assert len(rejects(whole)) == 10


def test_a_file_of_very_short_lines_is_resumed_behind_any_of_its_chunks() -> None:
    data = b"n\n" + b"x\n" * 5 + b"1\n" * 700_000
    chunks = run(data, (Column("n", INTEGER),))
    assert any(chunk.cursor["part"] for chunk in chunks)
    for chunk in chunks[:-1]:
        rest = run(data, chunks[0].columns, cursor=chunk.cursor)
        assert rest[0].first_row == chunk.first_row + chunk.read
        assert rest[-1].first_row + rest[-1].read == 700_006


def test_a_byte_order_mark_in_the_middle_is_text_wherever_blocks_are_cut() -> None:
    data = "t,n\na,1\n\ufeff,2\nb,x\n\ufeff\nc,3\n".encode()
    for chunk_bytes in (1, 8, 1 << 20):
        chunks = run(data, (Column("t", TEXT), Column("n", INTEGER)), chunk_bytes)
        assert rows(chunks) == [["a", 1], ["\ufeff", 2], ["c", 3]]
        assert [(reject.row, reject.cells) for chunk in chunks for reject in chunk.rejects] == [
            (3, ("b", "x")),
            (4, ("\ufeff",)),
        ]


def test_a_field_that_goes_on_behind_its_closing_quote_is_told_and_not_changed() -> None:
    data = b'id,t,x\n1,"6" pipe",2\n2,"b" ,3\n3,"c ""d"" e",4\n4,plain "x" y,5\n5,"two\n""lines""",6\n6,""odd,7\n'
    for chunk_bytes in (1, 1 << 20):
        chunks = run(data, (Column("id", INTEGER), Column("t", TEXT), Column("x", INTEGER)), chunk_bytes)
        assert rejects(chunks) == [(1, 2, None, "stray_quote"), (6, 8, None, "stray_quote")]
        assert [row[1] for row in rows(chunks)] == ["b ", 'c "d" e', 'plain "x" y', 'two\n"lines"']


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a": 1}]',
        b'{"a": 1}\n{"a": 2}\n',
        b'<?xml version="1.0"?>\n<a/>',
        b"<!DOCTYPE html>\n<p>a,b",
        b"%PDF-1.7\n1,2",
    ],
)
def test_what_begins_like_a_document_is_refused_unless_the_delimiter_is_given(data: bytes) -> None:
    assert code(data) == "not_delimited_text"
    assert run(data, delimiter=",")
