"""Sheets of workbooks: every real one of the corpus, headers below titles, and what is refused."""

from __future__ import annotations

import asyncio
import io
import zipfile
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import InputError
from service.domain.processor import Work
from tests.books import ods, xlsx
from tests.corpus import CORPUS, corpus_file
from workers.processors.spreadsheet import SpreadsheetOptions, processor
from workers.sheets.book import header_at, text_of
from workers.sheets.marks import _of_ods, _of_xml, marks_of

BOOKS = sorted((CORPUS / "xlsx").glob("*.xls*"))
NONE = [pytest.param(CORPUS, marks=pytest.mark.skip(reason="needs ../shared/corpus/xlsx"))]


def read(data, **options):
    async def collect():
        work = Work(io.BytesIO(data), len(data), SpreadsheetOptions(**options), None, None, 2**20)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


@pytest.mark.parametrize("path", BOOKS or NONE, ids=lambda path: path.name)
def test_a_real_workbook_loads_or_is_refused_for_a_reason(path):
    try:
        chunks = read(path.read_bytes())
    except InputError as refused:
        assert refused.code in ("password_protected", "file_damaged", "file_empty")
        assert refused.suggestion
    else:
        assert all(chunk.batch.num_rows + len(chunk.rejects) == chunk.read for chunk in chunks)


@pytest.mark.parametrize(
    ("name", "code"),
    [("pass_protected.xlsx", "password_protected"), ("issue252.xlsx", "file_damaged"), ("issue127.xlsx", "file_empty")],
)
def test_what_cannot_be_read_is_called_by_its_name(name, code):
    with pytest.raises(InputError) as refused:
        read(corpus_file(f"xlsx/{name}").read_bytes())
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "rows"), [("strict_iso_paths.xlsx", 75), ("issue_530.xlsx", 1), ("temperature.xlsx", 2)]
)
def test_rows_below_the_header(name, rows):
    assert sum(chunk.read for chunk in read(corpus_file(f"xlsx/{name}").read_bytes())) == rows


def test_a_sheet_is_chosen_by_name_or_number():
    data = corpus_file("xlsx/table-multiple.xlsx").read_bytes()
    by_name, by_number = read(data, sheet="Sheet2"), read(data, sheet="2")
    assert by_name == by_number
    with pytest.raises(InputError, match="'Sheet2'") as refused:
        read(data, sheet="Nope")
    assert refused.value.code == "unknown_sheet"


def test_merged_cells_are_filled_if_wanted():
    data = corpus_file("xlsx/merge_cells.xlsx").read_bytes()
    [plain], [filled] = read(data, header=0), read(data, header=0, merged=True)
    assert filled.batch.num_rows == plain.batch.num_rows
    assert sum(column.null_count for column in filled.batch.columns) < sum(c.null_count for c in plain.batch.columns)


def rows_of(chunks):
    return [row for chunk in chunks for row in chunk.batch.to_pylist()]


def test_all_sheets_become_rows_below_each_other():
    data = xlsx(
        {
            "January": [["Report", None], ["Name", "Amount"], ["Ann", 1.0], ["Bob", 2.5]],
            "Empty": [],
            "February": [["amount", "Name", "Note"], [3.0, "Cid", "late"]],
        }
    )
    chunks = read(data, sheet="*")
    assert [column.name for column in chunks[0].columns] == ["sheet", "name", "amount", "note"]
    assert [tuple(row.values()) for row in rows_of(chunks)] == [
        ("January", "Ann", 1.0, None),
        ("January", "Bob", 2.5, None),
        ("February", "Cid", 3.0, "late"),
    ]


def test_reading_all_sheets_goes_on_behind_any_row():
    data = xlsx({name: [["a"], *([float(n)] for n in range(4))] for name in ("x", "y", "z")})
    whole = read(data, sheet="*")

    async def rest(cursor):
        options = SpreadsheetOptions(sheet="*")
        work = Work(io.BytesIO(data), len(data), options, cursor, whole[0].columns, 2**20)
        return [chunk async for chunk in processor.chunks(work)]

    for row in range(1, 13):
        found = rows_of(asyncio.run(rest({**whole[0].cursor, "row": row})))
        assert found == rows_of(whole)[row - 1 :]


def test_hidden_rows_are_left_out_if_wanted():
    rows = [["hidden title"], ["name", "n"], ["Ann", 1.0], ["Bob", 2.0], ["Cid", 3.0]]
    data = xlsx({"other": [["x"], ["y"]], "S & T": rows}, hidden={"S & T": [1, 4]})
    assert len(rows_of(read(data, sheet="S & T"))) == 3
    assert [row["name"] for row in rows_of(read(data, sheet="S & T", hidden="skip"))] == ["Ann", "Cid"]


def test_cells_with_errors_are_empty_or_refuse_their_row():
    data = xlsx({"x": [["a", "b"], [1.0, "#DIV/0!"], [2.0, 3.0], ["#REF!", "#N/A"]]})
    assert [tuple(row.values()) for row in rows_of(read(data))] == [(1, None), (2, 3)]
    [chunk] = read(data, errors="reject")
    assert rows_of([chunk]) == [{"a": 2, "b": 3}]
    assert [(r.row, r.line, r.code) for r in chunk.rejects] == [(1, 2, "error_cell"), (3, 4, "error_cell")]
    assert "'b' has the error #DIV/0!" in chunk.rejects[0].message


def test_a_sheet_of_libreoffice_has_dates_and_hidden_rows():
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    day = '<table:table-cell office:value-type="date" office:date-value="{}"><text:p>x</text:p></table:table-cell>'
    rows = "".join(
        f"<table:table-row{attributes}>{cells}</table:table-row>"
        for attributes, cells in (
            ("", cell.format("name") + cell.format("day")),
            ("", cell.format("Ann") + day.format("2024-01-31")),
            (' table:visibility="collapse"', cell.format("Bob") + day.format("2024-02-29")),
        )
    )
    assert rows_of(read(ods(rows))) == [
        {"name": "Ann", "day": date(2024, 1, 31)},
        {"name": "Bob", "day": date(2024, 2, 29)},
    ]
    assert [row["name"] for row in rows_of(read(ods(rows), hidden="skip"))] == ["Ann"]


@pytest.mark.parametrize("place", ["XFD1048576", "A99999999999999999999"])
def test_a_cell_far_out_is_refused_before_memory_is_asked_for(place):
    with zipfile.ZipFile(io.BytesIO(xlsx({"s": [["a"], [1.0]]}))) as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b'r="A2"', f'r="{place}"'.encode()))
    with pytest.raises(InputError) as refused:
        read(packed.getvalue())
    assert refused.value.code == "too_large"


def test_marks_are_told_where_they_are_in_a_stream():
    row = b'<row r="%d" hidden="%d"><c r="B%d" t="e"><v>#N/A</v></c></row>'
    text = b"<sheetData>" + b"".join(row % (at, at % 3 == 0, at) for at in range(1, 3000)) + b"</sheetData>"
    whole = _of_xml(iter([text]))
    assert (len(whole.hidden), len(whole.errors)) == (999, 2999)
    for size in (5000, 9999, 77_777):
        assert _of_xml(text[at : at + size] for at in range(0, len(text), size)) == whole


def test_hidden_rows_of_an_ods_are_told_and_those_of_an_xls_are_not():
    text = (
        b'<table:table table:name="A"><table:table-row table:visibility="collapse"/></table:table>'
        b'<table:table table:name="B"><table:table-row/>'
        b'<table:table-row table:visibility="filter" table:number-rows-repeated="2"/><table:table-row/></table:table>'
    )
    assert _of_ods(iter([text]), "B").hidden == {1, 2}
    assert marks_of(io.BytesIO(b"\xd0\xcf\x11\xe0" * 200), "B") is None


@pytest.mark.parametrize("tag", [b"<row ", b"<c ", b'<c t="e">', b"<c t='e' "])
def test_tags_without_an_end_cost_little(tag):
    assert _of_xml(iter([tag * (2**20 // len(tag))])).errors == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        (5.0, "5"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (True, "true"),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, 9, 30), "2024-01-31 09:30:00"),
        (time(9, 30), "09:30:00"),
        (timedelta(hours=-25), "-25:00:00"),
    ],
)
def test_a_cell_as_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([["name", "age"], ["Ann", 3.0]], 0),
        ([["Report of 2024", ""], ["", ""], ["name", "age"], ["Ann", 3.0]], 2),
        ([[1.0, 2.0], [3.0, 4.0]], None),
        ([["a", "a"], ["b", 1.0], ["c", 2.0]], None),
        ([], None),
    ],
)
def test_a_header_is_found_below_titles(rows, place):
    assert header_at(rows) == place


@settings(deadline=None)
@given(st.data())
def test_a_damaged_workbook_is_an_error_and_no_crash(data):
    path = CORPUS / "xlsx" / "temperature.xlsx"
    if not path.exists():
        pytest.skip("needs ../shared/corpus/xlsx")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(content))
    except InputError as refused:
        assert refused.suggestion
