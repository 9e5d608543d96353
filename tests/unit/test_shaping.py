"""Columns as a caller wants them: mapped, changed, typed and checked, with every fault of a row named."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.domain.chunk import Chunk, Column, ColumnType, Reject
from service.domain.errors import InputError, faults_of
from service.domain.processor import Work
from workers.processors import csv as delimited
from workers.processors import ndjson

PEOPLE = "ID,E-Mail,Name,Amount\n1,A@X.ORG, ann  lee ,5\n2,b@x.org,Bob,-7\n"


def run(
    content: str | bytes,
    dataset: tuple[Column, ...] | None = None,
    chunk_bytes: int = 1 << 23,
    cursor: Any = None,
    kind: Any = delimited,
    **options: Any,
) -> list[Chunk]:
    data = content.encode() if isinstance(content, str) else content

    async def collect() -> list[Chunk]:
        checked = kind.processor.options.model_validate(options)
        work = Work(io.BytesIO(data), len(data), checked, cursor, dataset, chunk_bytes)
        return [chunk async for chunk in kind.processor.chunks(work)]

    return asyncio.run(collect())


def names(chunks: list[Chunk]) -> list[str]:
    return [column.name for column in chunks[0].columns]


def types(chunks: list[Chunk]) -> list[str]:
    return [column.type.value for column in chunks[0].columns]


def rows(chunks: list[Chunk]) -> list[list[Any]]:
    return [list(row.values()) for chunk in chunks for row in chunk.batch.to_pylist()]


def rejects(chunks: list[Chunk]) -> list[Reject]:
    return [reject for chunk in chunks for reject in chunk.rejects]


def faults(chunks: list[Chunk]) -> list[tuple[int, list[tuple[str | None, str]]]]:
    return [
        (r.row, [(fault.column, fault.code) for fault in r.faults] or [(r.column, r.code)]) for r in rejects(chunks)
    ]


def column(spec: dict[str, Any], *cells: str | None) -> tuple[list[Any], list[str]]:
    """The values of one text column `a` under a spec, and the codes of what is refused."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["a", "k"])
    writer.writerows([["" if cell is None else cell, "k"] for cell in cells])
    chunks = run(out.getvalue(), columns=[{"name": "a", **spec}], drop=["k"], header=True)
    return [row[0] for row in rows(chunks)], [reject.code for reject in rejects(chunks)]


def refusal(content: str = PEOPLE, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        run(content, **options)
    return caught.value


def test_columns_are_renamed_dropped_and_typed_by_header_or_name() -> None:
    chunks = run(PEOPLE, rename={"E-Mail": "email", "name": "who"}, drop=["Amount"], types={"id": "text"})
    assert names(chunks) == ["id", "email", "who"]
    assert types(chunks) == ["text", "text", "text"]
    assert rows(chunks)[1] == ["2", "b@x.org", "Bob"]


def test_without_the_others_columns_come_in_the_order_asked_for() -> None:
    chunks = run(PEOPLE, others="drop", columns=[{"name": "amount"}, {"name": "key", "from": "ID"}])
    assert names(chunks) == ["amount", "key"]
    assert rows(chunks) == [[5, 1], [-7, 2]]


def test_columns_of_a_spec_stay_where_the_file_has_them_and_new_ones_follow() -> None:
    specs = [
        {"name": "source", "constant": "crm"},
        {"name": "domain", "from": "E-Mail", "split": {"by": "@", "part": 2}, "case": "lower"},
        {"name": "e_mail", "case": "lower"},
        {"name": "mail_again", "from": "e_mail"},
    ]
    chunks = run(PEOPLE, columns=specs)
    assert names(chunks) == ["id", "domain", "name", "amount", "source", "e_mail", "mail_again"]
    assert rows(chunks)[0] == [1, "x.org", " ann  lee ", 5, "crm", "a@x.org", "A@X.ORG"]


@pytest.mark.parametrize(
    ("spec", "cells", "values"),
    [
        ({"trim": True}, [" x ", "\u00a0y", None], ["x", "y", None]),
        ({"case": "upper"}, ["éa"], ["ÉA"]),
        ({"case": "title"}, ["ann lee"], ["Ann Lee"]),
        ({"split": {"by": ", ", "part": 1}}, ["Lee, Ann", "Bo", None], ["Lee", "Bo", None]),
        ({"split": {"by": ", ", "part": 2}}, ["Lee, Ann", "Bo", None], ["Ann", None, None]),
        ({"split": {"by": " ", "part": -1}}, ["a b c", "d"], ["c", "d"]),
        ({"split": {"by": "-", "part": -2}}, ["a-b-c", "d"], ["b", None]),
        ({"replace": [{"from": ".", "to": ""}, {"from": "a", "to": "b"}]}, ["a.a.", "c"], ["bb", "c"]),
        ({"replace": [{"from": "a", "to": "b", "whole": True}]}, ["a", "aa"], ["b", "aa"]),
        ({"nulls": ["N/A", "-"]}, ["N/A", "-", "n/a"], [None, None, "n/a"]),
        ({"default": "none"}, ["x", None], ["x", "none"]),
        ({"trim": True, "nulls": ["-"], "default": "0", "type": "integer"}, [" - ", " 7 "], [0, 7]),
        ({"type": "numeric", "replace": [{"from": "€", "to": ""}], "trim": True}, ["1.50 €", "2 €"], None),
    ],
)
def test_text_is_changed_in_a_stated_order(spec: dict[str, Any], cells: list[str | None], values: Any) -> None:
    found, codes = column(spec, *cells)
    assert codes == []
    assert (found if values is not None else [str(value) for value in found]) == (values or ["1.50", "2.00"])


@pytest.mark.parametrize(
    ("spec", "good", "bad", "code"),
    [
        ({"required": True}, ["x"], [None, ""], "missing_value"),
        ({"required": True, "trim": True}, ["x"], ["  "], "missing_value"),
        ({"type": "integer", "required": True}, ["1"], [None], "missing_value"),
        ({"type": "integer", "min": 0, "max": 9}, ["0", "9", None], ["-1", "10"], "out_of_range"),
        ({"type": "integer", "min": 0.5}, ["1"], ["0"], "out_of_range"),
        ({"type": "numeric", "scale": 1, "max": "0.25"}, ["0.2"], ["0.3"], "out_of_range"),
        ({"type": "double", "max": 0.25}, ["0.25", "-1e3"], ["0.26"], "out_of_range"),
        ({"type": "date", "min": "2024-01-01"}, ["2024-01-01"], ["2023-12-31"], "out_of_range"),
        ({"type": "timestamptz", "max": "2024-01-01T00:00Z"}, ["2024-01-01T01:00+01"], ["2024-01-01T00:01Z"], None),
        ({"max_length": 2}, ["éé", "", None], ["abc"], "too_long"),
        ({"min_length": 2}, ["éé", None], ["é"], "too_short"),
        ({"values": ["a", "b"]}, ["a", "b", None], ["c"], "not_in_values"),
        ({"type": "integer", "values": [1, 2]}, ["1", "02"], ["3"], "not_in_values"),
        ({"type": "numeric", "scale": 2, "values": ["1.5"]}, ["1.50"], ["1.51"], "not_in_values"),
        ({"type": "date", "values": ["2024-01-31"]}, ["2024-01-31"], ["2024-02-01"], "not_in_values"),
        ({"type": "boolean", "values": [True]}, ["true", "yes"], ["no"], "not_in_values"),
        (
            {"type": "uuid", "values": ["123e4567-e89b-12d3-a456-426614174000"]},
            ["123E4567-E89B-12D3-A456-426614174000"],
            ["00000000-0000-0000-0000-000000000000"],
            "not_in_values",
        ),
    ],
)
def test_what_must_hold_is_checked_on_values(
    spec: dict[str, Any], good: list[str | None], bad: list[str | None], code: str | None
) -> None:
    values, codes = column(spec, *good, *bad)
    assert len(values) == len(good)
    assert codes == [code or "out_of_range"] * len(bad)
    assert column(spec, *good)[1] == []


def test_every_fault_of_a_row_is_named_in_the_order_of_the_columns() -> None:
    specs = [
        {"name": "a", "type": "integer", "required": True},
        {"name": "b", "max_length": 3, "values": ["yes", "no"]},
        {"name": "c", "type": "date"},
    ]
    chunks = run('a,b,c\n1,no,2024-01-01\n,"maybe, not",soon\n2,yes,x\n', columns=specs)
    assert faults(chunks) == [
        (2, [("a", "missing_value"), ("b", "too_long"), ("b", "not_in_values"), ("c", "not_a_date")]),
        (3, [("c", "not_a_date")]),
    ]
    first, second = rejects(chunks)
    assert (first.column, first.code) == ("a", "missing_value")
    assert first.cells == (None, "maybe, not", "soon")
    assert second.faults == ()
    assert chunks[0].header == ("a", "b", "c")


def test_cells_of_a_row_of_the_wrong_width_are_kept_as_they_are() -> None:
    chunks = run('a,b\n1,2\n1,2\n1,2\n3,"x,y",5\n6\n', types={"a": "integer"})
    assert [reject.cells for reject in rejects(chunks)] == [("3", "x,y", "5"), ("6",)]


def test_a_column_that_is_left_out_may_hold_anything() -> None:
    chunks = run(b"a,b\n1,gr\xf6\xdfe\n2,\0\n", drop=["b"], encoding="utf-8")
    assert rows(chunks) == [[1], [2]]
    assert rejects(chunks) == []


def test_rows_are_counted_when_no_column_of_the_file_is_wanted() -> None:
    chunks = run("a,b\n1,2\n3,4\n", others="drop", columns=[{"name": "source", "constant": 7}])
    assert rows(chunks) == [[7], [7]]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"drop": ["emial"]}, "unknown_column", "no column 'emial'; it has id, e_mail, name, amount"),
        ({"columns": [{"name": "x", "from": "Nmae"}]}, "unknown_column", "'Nmae'"),
        ({"types": {"nme": "text"}}, "unknown_column", "'nme'"),
        ({"rename": {"Name": "id"}}, "invalid_options", "Two columns would be called 'id'"),
        ({"columns": [{"name": "name", "min": 3}]}, "invalid_options", "min is for numbers"),
        ({"columns": [{"name": "amount", "max_length": 3}]}, "invalid_options", "max_length is for text"),
        ({"columns": [{"name": "amount", "values": ["x"]}]}, "invalid_options", "'x' is no integer"),
        ({"columns": [{"name": "amount", "default": "x"}]}, "invalid_options", "default 'x' is no value"),
        ({"columns": [{"name": "amount", "min": "x"}]}, "invalid_options", "min 'x' is no value"),
    ],
)
def test_what_does_not_fit_the_file_is_told(options: dict[str, Any], code: str, said: str) -> None:
    error = refusal(**options)
    assert error.code == code
    assert said in error.message
    assert error.suggestion


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    assert refusal(drop=["emial"]).suggestion == "Did you mean 'e_mail'?"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": [{"name": "A b"}]}, "'a_b' can"),
        ({"columns": [{"name": "_row"}]}, "'row' can"),
        ({"columns": [{"name": "a"}, {"name": "a"}]}, "two columns are to be called 'a'"),
        ({"columns": [{"name": "a"}], "rename": {"b": "a"}}, "two columns are to be called 'a'"),
        ({"columns": [{"name": "a", "type": "date", "min": "soon"}]}, "min 'soon' is no limit"),
        ({"columns": [{"name": "a", "type": "date", "max_length": 3}]}, "are for text columns"),
        ({"columns": [{"name": "a", "scale": 2}]}, "scale is for columns"),
        ({"columns": [{"name": "a", "constant": 1, "from": "b"}]}, "leave out either"),
        ({"columns": [{"name": "a", "split": {"by": ",", "part": 0}}]}, "part counts from 1"),
        ({"columns": [{"name": "a", "type": "text"}], "types": {"a": "date"}}, "different types"),
        ({"columns": [{"name": "a", "tpye": "text"}]}, "columns.0.tpye"),
        ({"columns": "[1"}, "valid list"),
        ({"types": "text"}, "valid dictionary"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        delimited.CsvOptions.model_validate(options)
    assert said in faults_of(caught.value, "options")


def test_options_are_the_same_as_query_parameters() -> None:
    columns = [{"name": "a", "from": "A", "replace": [{"from": "x", "to": "y"}], "values": [1, True]}]
    asked = {"columns": columns, "drop": ["b", "c"], "types": {"d": "text"}}
    query = {"columns": json.dumps(columns), "drop": "b,c", "types": '{"d": "text"}'}
    options = delimited.CsvOptions.model_validate(query)
    assert options == delimited.CsvOptions.model_validate(asked)
    stored = options.model_dump(mode="json", exclude_unset=True)
    assert stored["columns"][0]["from"] == "A"
    assert delimited.CsvOptions.model_validate(stored) == options


def test_a_dataset_keeps_its_types() -> None:
    there = (Column("id", ColumnType.INTEGER), Column("name", ColumnType.TEXT))
    assert types(run("id,name\n1,2\n", there)) == ["integer", "text"]
    error = refusal("id,name\n1,2\n", dataset=there, types={"id": "text"})
    assert error.code == "schema_mismatch"
    assert "id of the dataset is integer" in error.message


def test_json_objects_are_shaped_in_the_same_way() -> None:
    content = (
        '{"ID": 1, "who": " Ann ", "tags": ["x"], "extra": true}\n{"ID": "x", "tags": null}\n{"ID": 3, "who": "B"}\n'
    )
    specs = [{"name": "key", "from": "id", "type": "integer"}, {"name": "who", "trim": True, "required": True}]
    chunks = run(content, kind=ndjson, columns=specs, drop=["extra"])
    assert names(chunks) == ["key", "who", "tags"]
    assert rows(chunks) == [[1, "Ann", '["x"]'], [3, "B", None]]
    assert faults(chunks) == [(2, [("key", "not_an_integer"), ("who", "missing_value")])]
    again = run(content, chunks[0].columns, kind=ndjson, columns=specs, drop=["extra"])
    assert rows(again) == rows(chunks)
    assert rows(run(content, kind=ndjson, columns=specs[:1], others="drop")) == [[1], [3]]


def test_sixteen_hundred_columns_are_too_many_unless_enough_are_left_out() -> None:
    wide = ",".join(f"c{n}" for n in range(2_000)) + "\n" + ",".join(["1"] * 2_000) + "\n"
    assert refusal(wide).code == "too_many_columns"
    assert rows(run(wide, others="drop", columns=[{"name": "c7"}, {"name": "last", "from": "c1999"}])) == [[1, 1]]


CELL = {
    "n": st.one_of(st.integers(0, 99).map(str), st.sampled_from(["", "x", "-1", "1.5", "100", "0x1"])),
    "t": st.one_of(st.text('ab ,"\n', max_size=5), st.sampled_from(["", "abcdef"])),
    "d": st.one_of(st.dates().map(str), st.sampled_from(["", "2024-02-30", "soon"])),
    "junk": st.text("ab,\n", max_size=3),
}
SPECS = [
    {"name": "n", "type": "integer", "required": True, "min": 0, "max": 99},
    {"name": "t", "trim": True, "max_length": 4},
    {"name": "day", "from": "d", "type": "date"},
]


def wrong(row: dict[str, str]) -> list[tuple[str, str]]:
    """What is wrong with a row of CELL under SPECS, said plainly."""
    found = []
    number = row["n"]
    if number == "":
        found.append(("n", "missing_value"))
    elif not number.lstrip("-").isdecimal():
        found.append(("n", "not_an_integer"))
    elif not 0 <= int(number) <= 99:
        found.append(("n", "out_of_range"))
    if len(row["t"].strip()) > 4:
        found.append(("t", "too_long"))
    if row["d"] in ("2024-02-30", "soon"):
        found.append(("day", "not_a_date"))
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.fixed_dictionaries(CELL), min_size=1, max_size=30),
    st.integers(1, 200),
    st.sampled_from(["keep", "drop"]),
)
def test_all_and_only_the_bad_rows_are_rejected_however_they_are_cut(
    table: list[dict[str, str]], chunk_bytes: int, others: str
) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(CELL), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(table)
    asked = {"columns": SPECS, "others": others, "header": True, **({} if others == "drop" else {"drop": ["junk"]})}
    chunks = run(out.getvalue(), chunk_bytes=chunk_bytes, **asked)
    assert faults(chunks) == [(number, wrong(row)) for number, row in enumerate(table, 1) if wrong(row)]
    stored = [[int(r["n"]), r["t"].strip(), r["d"]] for r in table if not wrong(r)]
    assert [[n, t, "" if d is None else str(d)] for n, t, d in rows(chunks)] == stored
    assert [reject.cells for reject in rejects(chunks)] == [
        tuple(row[name] for name in CELL) for row in table if wrong(row)
    ]
    middle = len(chunks) // 2
    resumed = run(out.getvalue(), chunks[0].columns, chunk_bytes, chunks[middle].cursor, **asked)
    assert rows(chunks[: middle + 1]) + rows(resumed) == rows(chunks)
    assert rejects(chunks[: middle + 1]) + rejects(resumed) == rejects(chunks)
