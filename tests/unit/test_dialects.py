"""Dialects against a slow, obvious reading; found dialects, headers, encodings, packings and formats."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import time
import zipfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Chunk, Column, ColumnType
from service.domain.errors import InputError
from tests.unit.test_csv import code, rejects, rows, run, shape
from workers import unpacking
from workers.detection import dialect_of
from workers.dialect import COMMA, Dialect
from workers.encodings import encoding_of
from workers.parsing import strings
from workers.records import blocks, records
from workers.trials import Sample

TEXT = ColumnType.TEXT
DIALECTS = [
    Dialect(",", '"', "\\"),
    Dialect(",", '"', "\\", "#"),
    Dialect(",", '"', None, "#"),
    Dialect(";", "'"),
    Dialect("^", None),
    Dialect("\x1f", None, "\\", "#"),
    Dialect("|", "'", "\\"),
]


def obvious(text: str, d: Dialect) -> tuple[list[list[str]], bool]:
    """The records of a text, character by character, and whether a quote stays open."""
    found: list[list[str]] = []
    row, cell, raw, i = list[str](), "", "", 0
    at_start = line_start = True
    inside = False
    while i < len(text):
        c, after = text[i], text[i + 1 : i + 2]
        if line_start and not inside and c == d.comment:
            while i < len(text) and text[i] not in "\r\n":
                i += 1
            i += 2 if text[i : i + 2] == "\r\n" else 1
            continue
        if c == d.escape and after and after in f"{d.quote or ''}{d.escape}{d.delimiter}\r\n":
            after = "\r\n" if text[i + 1 : i + 3] == "\r\n" else after
            cell, raw, i = cell + after, raw + after, i + 1 + len(after)
            at_start = line_start = False
        elif inside and text[i : i + 2] == 2 * c == 2 * (d.quote or ""):
            cell, i = cell + c, i + 2
        elif inside:
            inside, cell, i = c != d.quote, cell + (c if c != d.quote else ""), i + 1
        elif c == d.quote and at_start:
            inside, raw, i = True, raw + c, i + 1
            at_start = line_start = False
        elif c in "\r\n":
            if row or raw:
                found.append([*row, cell])
            row, cell, raw, at_start, line_start = [], "", "", True, True
            i += 2 if text[i : i + 2] == "\r\n" else 1
        elif c == d.delimiter:
            row, cell, raw, at_start, line_start, i = [*row, cell], "", raw + c, True, False, i + 1
        else:
            cell, raw, at_start, line_start, i = cell + c, raw + c, False, False, i + 1
    if row or raw:
        found.append([*row, cell])
    return found, inside


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(DIALECTS).flatmap(lambda d: st.tuples(st.just(d), nasty(d))))
def test_every_dialect_is_read_as_the_obvious_reading_does(case: tuple[Dialect, str]) -> None:
    dialect, text = case
    wanted, is_open = obvious(text, dialect)
    if is_open:
        return
    data = text.encode()
    found = records(data, dialect)
    assert found.widths.tolist() == [len(row) for row in wanted]
    for width in {len(row) for row in wanted}:
        _, even, texts, _ = strings(data, dialect, width)
        got = list(zip(*(column.to_pylist() for column in texts), strict=True))
        at = [row for row, fits in zip(wanted, even.tolist(), strict=True) if fits]
        assert [[cell or "" for cell in row] for row in got] == [row[:width] for row in at]
        assert all(not any(row[width:]) for row in at)


def nasty(dialect: Dialect) -> st.SearchStrategy[str]:
    marks = [dialect.delimiter, dialect.delimiter, '"', "'", "\\", "\n", "\r\n", "\n#", "#", "a", "b"]
    return st.lists(st.sampled_from(marks), max_size=25).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DIALECTS).flatmap(lambda d: st.tuples(st.just(d), nasty(d))), st.integers(1, 20))
def test_blocks_of_any_size_hold_the_same_records_in_every_dialect(case: tuple[Dialect, str], size: int) -> None:
    dialect, data = case[0], case[1].encode()

    def read(block_bytes: int) -> list[bytes]:
        texts = []
        for block in blocks(io.BytesIO(data), 0, dialect, iter(lambda: block_bytes, 0)):
            found = records(block.data, dialect)
            spans = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
            texts += [block.data] if block.fault else [block.data[a:b] for a, b in spans]
        return texts

    assert read(size) == read(1 << 20)


CELL = st.text(alphabet="ab1,;|'\"\n é\\#:", max_size=6)


@settings(max_examples=250, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)),
    st.sampled_from([",", ";", "\t", "|", "^", "~", "\x01", "||", "::", "§"]),
    st.sampled_from(['"', "'"]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32", "cp1252", "mac-roman"]),
    st.sampled_from([None, "gzip", "bz2", "xz", "zstd", "zip"]),
    st.integers(1, 60),
)
def test_a_table_in_any_dialect_encoding_and_packing_is_read_back(
    table: list[list[str]],
    delimiter: str,
    quote: str,
    escaped: bool,
    encoding: str,
    packing: str | None,
    chunk_bytes: int,
) -> None:
    def written(cell: str) -> str:
        if escaped:
            cell = cell.replace("\\", "\\\\").replace(quote, "\\" + quote)
        return quote + (cell if escaped else cell.replace(quote, 2 * quote)) + quote

    text = "".join(delimiter.join(map(written, row)) + "\r\n" for row in table)
    columns = tuple(Column(f"column_{i}", TEXT) for i in range(1, len(table[0]) + 1))
    chunks = run(
        PACKED[packing](text.encode(encoding)),
        columns,
        chunk_bytes,
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape="\\" if escaped else "",
        comment="",
        header=False,
        skip_rows=0,
    )
    assert rows(chunks) == table
    assert rejects(chunks) == []


def zipped(data: bytes, *names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("a.csv",):
            archive.writestr(name, data)
    return out.getvalue()


PACKED: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    "zip": zipped,
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252", "utf-32-be"])
def test_a_resume_from_any_cursor_of_a_packed_file_gives_the_same_rest(packing: str | None, encoding: str) -> None:
    text = "id||wört\n" + "".join(f'{i}||"größe\n{i}"\n' for i in range(60)) + "x||y\n"
    data = PACKED[packing](text.encode(encoding))
    columns = (Column("id", ColumnType.INTEGER), Column("wört", TEXT))
    chunks = run(data, columns, 100)
    assert len(chunks) > 5
    assert rows(chunks) == [[i, f"größe\n{i}"] for i in range(60)]
    assert rejects(chunks) == [(61, 122, "id", "not_an_integer")]
    assert all(chunk.done <= len(data) for chunk in chunks)
    for number, chunk in enumerate(chunks, start=1):
        assert run(data, columns, 100, chunk.cursor) == chunks[number:]


@pytest.mark.parametrize("packing", [name for name in PACKED if name])
def test_a_packed_file_cut_short_is_refused(packing: str) -> None:
    data = PACKED[packing](os.urandom(1000).hex().encode())
    assert code(data[: len(data) // 2]) == "damaged_archive"


def test_a_bomb_is_refused_before_it_has_gone_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE_BYTES", 1 << 20)
    assert code(gzip.compress(b"a,b\n" + b"1,2\n" * 2_000_000)) == "unpacks_too_large"


def test_of_several_members_one_is_wanted() -> None:
    assert code(zipped(b"a\n1\n", "a.csv", "b.csv")) == "member_needed"
    assert rows(run(zipped(b"a\n1\n", "a.csv", "b.csv"), member="b.csv")) == [[1]]
    assert rows(run(zipped(b"a\n1\n", "read.me", "b.csv", "__MACOSX/b.csv"))) == [[1]]
    assert code(zipped(b"a\n1\n"), member="c.csv") == "member_needed"
    assert code(zipped(b"<x/>", "[Content_Types].xml", "xl/workbook.xml")) == "not_delimited_text"


TEXTS = {
    "größe,Straße\nMüller,Köln": ["cp1252", "mac_roman", "cp850", "utf-16-le", "utf-16-be", "utf-32-le"],
    "Prénom,Ville\nHélène,Besançon\nFrançois,Nîmes": ["cp1252", "mac_roman", "cp850"],
    "imię,nazwisko\nŁukasz,Wiśniewski\nMałgorzata,Dąbrowska": ["cp1250", "iso8859_2", "cp852"],
    "jméno,příjmení\nTomáš,Dvořák\nJiří,Němec": ["cp1250", "iso8859_2", "cp852"],
    "ad,şehir\nİbrahim,Eskişehir\nAyşe,Diyarbakır\nçağrı,güneş ışığı": ["cp1254"],
    "vardas,miestas\nŽydrūnas,Šiauliai\nRūta,Panevėžys": ["cp1257"],
    "имя,город\nИван,Москва\nОльга,Новосибирск": ["cp1251", "koi8_r", "cp866", "iso8859_5"],
    "όνομα,πόλη\nΓιώργος,Αθήνα\nΜαρία,Θεσσαλονίκη": ["cp1253", "iso8859_7"],
    "שם,עיר\nדוד,ירושלים\nמרים,תל אביב": ["cp1255"],
    "الاسم,المدينة\nمحمد,القاهرة\nفاطمة,بغداد": ["cp1256"],
    "氏名,住所\n山田太郎,東京都千代田区\n佐藤花子,大阪府大阪市": ["cp932", "euc_jp", "iso2022_jp"],
    "姓名,城市\n张伟,北京\n王芳,上海\n李娜,广州市的中心是这里": ["gb18030", "utf-16-le"],
    "姓名,城市\n張偉,臺北\n王小明,高雄\n陳美麗,這是我們的資料": ["big5"],
    "이름,도시\n김철수,서울\n이영희,부산\n박민수,대구광역시": ["euc_kr"],
    "item,price\na,€5\nb,€6 – “x”": ["cp1252"],
}


@pytest.mark.parametrize(("text", "encoding"), [(text, name) for text, names in TEXTS.items() for name in names])
def test_the_encoding_is_found(text: str, encoding: str) -> None:
    data = f"{text}\n".encode(encoding)
    assert data.decode(str(encoding_of([data]).value)) == f"{text}\n"


def test_a_wrong_byte_in_the_middle_costs_its_row_only() -> None:
    text = "id,name\n1,größe\n2,?\n3,straße\n"
    for encoding, wrong in (("cp1252", b"\x81"), ("utf-8", b"\xe9"), ("euc_jp", b"\xff")):
        names = text if encoding != "euc_jp" else text.replace("größe", "大阪").replace("straße", "東京")
        chunks = run(names.encode(encoding).replace(b"?", wrong), encoding=encoding)
        assert rejects(chunks) == [(2, 3, None, "invalid_utf8")]
        assert [row[0] for row in rows(chunks)] == [1, 3]


@pytest.mark.parametrize(
    "mark", [",", ";", "\t", "|", "^", "~", ":", " ", "\x01", "\x1f", "||", "::", ", ", "; ", "¦", "!", "*"]
)
def test_any_delimiter_is_found(mark: str) -> None:
    table = [["id", "name", "price"], ["1", "Ann", "5"], ["2", f"a{mark}b", "7"], ["3", "O'Neil", "8"]]
    text = "".join(mark.join(f'"{cell}"' if mark in cell else cell for cell in row) + "\n" for row in table)
    chunks = run(text.encode())
    assert shape(chunks) == [("id", "integer"), ("name", "text"), ("price", "integer")]
    assert rows(chunks) == [[1, "Ann", 5], [2, f"a{mark}b", 7], [3, "O'Neil", 8]]


@pytest.mark.parametrize(
    ("data", "names", "table"),
    [
        (b"Report\nof 2024\n\na;b;c\n1;2;x\n3;4;y\n", ["a", "b", "c"], [[1, 2, "x"], [3, 4, "y"]]),
        (b"Sales;;\n;;\na;b;c\n1;2;x\n", ["a", "b", "c"], [[1, 2, "x"]]),
        (b"sep=;\r\na;b\r\n1;2\r\n", ["a", "b"], [[1, 2]]),
        (b'sep=\r\nid|n\r\n1|"2"\r\n2|"3"\r\n', ["id", "n"], [[1, 2], [2, 3]]),
        (b"# about\na,b\n1,2\n# more\n3,4\n", ["a", "b"], [[1, 2], [3, 4]]),
        (b"#a,b\n1,2\n", ["a", "b"], [[1, 2]]),
        (b"a,b,\n1,2,\n3,4,\n", ["a", "b"], [[1, 2], [3, 4]]),
        (b"a,b\n1,2,\n3,4,\n", ["a", "b"], [[1, 2], [3, 4]]),
        (b"x,y\nr1,1,2\nr2,3,4\n", ["column_1", "x", "y"], [["r1", 1, 2], ["r2", 3, 4]]),
        (b"name\nSmith, John\nDoe, Jane\n", ["name"], [["Smith, John"], ["Doe, Jane"]]),
        (b'a\tb\n1\t"inch\n2\tx"y\n3\t"foot\n', ["a", "b"], [[1, '"inch'], [2, 'x"y'], [3, '"foot']]),
    ],
)
def test_what_is_around_the_table_is_told_from_it(data: bytes, names: list[str], table: list[list[Any]]) -> None:
    chunks = run(data)
    assert [name for name, _ in shape(chunks)] == names
    assert rows(chunks) == table
    assert rejects(chunks) == []


def test_lines_are_counted_from_the_start_of_the_file() -> None:
    assert rejects(run(b"Report\n\nby us\na;b;c\n1;2;x\n3\n")) == [(2, 6, None, "wrong_field_count")]


def test_the_header_of_a_chunk_is_what_the_file_says() -> None:
    assert run("Größe (m),b\n1,2\n".encode("cp1252"))[0].header == ("Größe (m)", "b")
    assert run(b"1,2\n3,4\n")[0].header == ("column_1", "column_2")


def test_options_overrule_what_is_found() -> None:
    assert rows(run(b"a,b\n1,2\n", delimiter=";")) == [[Decimal("1.2")]]
    assert rows(run(b"a,b\n'1',2\n", quote="'")) == [[1, 2]]
    assert shape(run(b"a,b\nx,y\n1,2\n", header=2)) == [("a_x", "integer"), ("b_y", "integer")]
    assert rows(run(b"t\na,b\n1,2\n", skip_rows=2, header=False)) == [[1, 2]]
    assert rows(run(b"a,b,c\n1,2\n", ragged="pad")) == [[1, 2, None]]
    assert rows(run(b"t\nx\n?\n", nulls=["?"])) == [["x"], [None]]
    assert rows(run(b"a\tb\n1\t2\n", delimiter="tab")) == [[1, 2]]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1,5", "2,75", "n/a"], "double", ["1.5", "2.75", "None"]),
        (["1.234,50", "7,00"], "numeric", ["1234.50", "7.00"]),
        (["1 234,5", "3,2"], "numeric", ["1234.5", "3.2"]),
        (["1'234.50", "2.00"], "numeric", ["1234.50", "2.00"]),
        (["1,234", "5,678"], "text", ["1,234", "5,678"]),
        (["1,234", "7", "950", "2,000"], "integer", ["1234", "7", "950", "2000"]),
        (["1.5", "2,5"], "text", ["1.5", "2,5"]),
        (["16/07/2010", "01/02/2011"], "date", ["2010-07-16", "2011-02-01"]),
        (["01/02/2011", "03/04/2011"], "text", ["01/02/2011", "03/04/2011"]),
        (["1/31/2024 2:05 PM", "2/1/2024 12:05 AM"], "timestamp", ["2024-01-31 14:05:00", "2024-02-01 00:05:00"]),
        (["31.01.2024", "1.2.2024"], "date", ["2024-01-31", "2024-02-01"]),
        (["31-Jan-2024", "1 February 2024"], "date", ["2024-01-31", "2024-02-01"]),
        (["16/07/10", "01/02/11"], "text", ["16/07/10", "01/02/11"]),
        (["NA", "x"], "text", ["NA", "x"]),
        (["NULL", "true", "-"], "boolean", ["None", "True", "None"]),
        (["10.0.0.1", "10.0.0.2"], "text", ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_how_a_column_is_written_is_found(cells: list[str], kind: str, values: list[str]) -> None:
    data = "v\tw\n" + "".join(f"{cell}\tx\n" for cell in cells)
    chunks = run(data.encode())
    assert shape(chunks)[0][1] == kind
    assert [str(row[0]) for row in rows(chunks)] == values


def test_what_does_not_fit_the_format_is_a_reject() -> None:
    data = b"v;d\n" + b"1,5;31/01/2024\n" * 30 + b"2.5;01/02/2024\n3,5;01/31/2024\n"
    chunks = run(data)
    assert [(row, column) for row, _, column, _ in rejects(chunks)] == [(31, "v"), (32, "d")]


def test_a_date_order_decided_in_one_column_holds_for_the_others() -> None:
    chunks = run(b"a,b\n31/01/2024,01/02/2024\n30/01/2024,03/04/2024\n")
    assert [[str(v) for v in row] for row in rows(chunks)] == [
        ["2024-01-31", "2024-02-01"],
        ["2024-01-30", "2024-04-03"],
    ]
    assert shape(run(b"b\n01/02/2024\n", date_order="mdy", header=True)) == [("b", "date")]


def test_every_choice_is_told_with_its_confidence() -> None:
    sample = Sample(b"a;b\n1;2\n3;4\n", True)
    dialect, evidence = dialect_of(sample, COMMA, frozenset({"quote"}))
    told = {entry.subject: entry for entry in evidence}
    assert dialect.delimiter == told["delimiter"].value == ";"
    assert told["delimiter"].confidence > 0.9
    assert told["quote"].why == "given"


@pytest.mark.parametrize(
    "text",
    [b'",\n', b"'',;|\t^~:\n", b'\\"\n', b"#,\n", b"a", b",", b'"', b"'", b"\\", b"\xff\xfe", b"\x1f\x8b", b";,"],
)
def test_dialects_are_found_in_bounded_time(text: bytes) -> None:
    data = text * (1_000_000 // len(text))
    started = time.process_time()
    ends(data)
    assert time.process_time() - started < 12


def ends(data: bytes, **options: Any) -> list[Chunk] | str:
    """The chunks, or the code of the refusal: nothing else may come."""
    try:
        return run(data, **options)
    except InputError as error:
        return error.code


def test_damaged_files_never_do_harm() -> None:
    mutated(int(os.environ.get("CAMPAIGN_MUTATIONS", "300")), random.Random(os.environ.get("CAMPAIGN_SEED", "7")))


def mutated(times: int, dice: random.Random) -> None:
    from tests.unit.test_csv import SAMPLES

    seeds = [path.read_bytes()[:3_000] for path in sorted(SAMPLES[0].parent.iterdir()) if path.suffix != ".json"]
    marks = [
        b'"',
        b"'",
        b"\\",
        b"\n",
        b"\r",
        b",",
        b";",
        b"\t",
        b"||",
        b"#",
        b"\0",
        b"\xff",
        b"\xe9",
        b"\x1f",
        b"9" * 40,
    ]
    for number in range(times):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0:
                    data[at : at + dice.randint(1, 20)] = b""
                case 1:
                    data[at:at] = dice.choice(marks) * dice.choice([1, 1, 2, 50])
                case 2:
                    data[at : at + 1] = bytes([dice.randrange(256)])
                case 3:
                    other = dice.choice(seeds)
                    data[at:at] = other[: dice.randrange(len(other) + 1)]
        try:
            whole = ends(bytes(data))
            if isinstance(whole, str):
                continue
            cut = ends(
                bytes(data),
                columns=whole[0].columns,
                chunk_bytes=dice.randint(1, 400),
                header="file" in whole[0].cursor and json.loads(str(whole[0].cursor["file"]))[1] is not None,
            )
            read = sum(chunk.read for chunk in whole)
            assert sum(chunk.batch.num_rows + len(chunk.rejects) for chunk in whole) == read
            assert isinstance(cut, list) or cut == "schema_mismatch"
        except Exception as error:
            raise AssertionError(f"mutation {number}: {bytes(data)!r}") from error


def test_the_first_of_two_tables_is_read_and_the_other_one_told() -> None:
    first = "".join(f"{number},n{number}\n" for number in range(20))
    chunks = run(f"Table 1\nid,name\n{first}\nTable 2\nid,price,qty\n{first.replace(',n', ',1,')}".encode())
    assert [name for name, _ in shape(chunks)] == ["id", "name"]
    assert len(rows(chunks)) == 20
    assert [row for row, *_ in rejects(chunks)] == list(range(21, 43))


@pytest.mark.parametrize("gap", ["", "\n"])
def test_keys_and_values_above_a_table_are_not_its_header(gap: str) -> None:
    above = "Report,Sales\nDate,2024-01-01\nUser,Ann\n"
    chunks = run(f"{above}{gap}id,name,amount\n1,a,1.5\n2,b,2.5\n3,c,3.5\n".encode())
    assert [name for name, _ in shape(chunks)] == ["id", "name", "amount"]
    assert (len(rows(chunks)), rejects(chunks)) == (3, [])
