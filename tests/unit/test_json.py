"""The json processor: documents to the letter of RFC 8259, as rows."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
import zipfile
from decimal import Decimal
from typing import Any

import pytest

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from tests.corpus import CORPUS
from workers import elements
from workers.processors.json import processor

SUITE = sorted((CORPUS / "json" / "parsing").glob("*.json"))
NONE = [pytest.param(CORPUS, marks=pytest.mark.skip(reason="needs ../shared/corpus/json"))]

GOOD = [
    *(b"[]", b"{}", b"[[]]", b"[{}]", b"0", b"-0", b"[-0]", b'""', b"true", b"null", b" \t\r\n[ ] \t\r\n", b'"\x7f"'),
    *(b"[1e1, 1E+2, 1e-2, 0e0, 0E+5, 1.5e10, -1.0, 123.456e78, 20e1, -123123]", b'[null, true, false, "", 0]'),
    *(b'{"":0}', b'{"a":1,"a":2}', b'{"a":{"b":[]}}', b'[{"a":[1,2,{"b":null}]}]', b'{"a\\u0000b":1}'),
    *(b'["\\"\\\\\\/\\b\\f\\n\\r\\t"]', b'["\\u0041\\uD834\\uDD1E"]', b'["\\u00e9", "\xc3\xa9"]', b'["\\\\u0000"]'),
    *('["\u2028\u2029\ufffe\U0010ffff\u200b"]'.encode(), b'\xef\xbb\xbf[1]', b"[" * 199 + b"]" * 199),
]  # fmt: skip

BAD = [  # and the byte at which that shows
    (b"", None), (b" ", 1), (b"[", 1), (b"]", 0), (b"[1", 2), (b"[1,", 3), (b"[,1]", 1), (b"[1,]", 3), (b"[1,,2]", 3),
    (b"[1 2]", 3), (b"[1]x", 3), (b"[1]]", 3), (b"[1],", 3), (b"[1][2]", 3), (b"[1:2]", 2), (b"[1;2]", 2),
    (b"{", 1), (b"}", 0), (b'{"a"}', 4), (b'{"a":}', 5), (b'{"a":1,}', 7), (b'{"a" 1}', 5), (b"{a:1}", 1),
    (b"{'a':1}", 1), (b"{1:1}", 1), (b'{"a":1', 6), (b'{"a":1 "b":2}', 7), (b'{"a":1]', 6), (b'{,"a":1}', 1),
    (b"[}", 1), (b"[{]", 2), (b"nul", 0), (b"[nul]", 1), (b"[True]", 1), (b"[tru]", 1), (b"[truee]", 5),
    (b"[NaN]", 1), (b"[Infinity]", 1), (b"[-Infinity]", 1), (b"[-NaN]", 1), (b"[inf]", 1),
    (b"[01]", 2), (b"[-01]", 3), (b"[-]", 1), (b"[+1]", 1), (b"[.5]", 1), (b"[5.]", 2), (b"[1.e1]", 2), (b"[1e]", 2),
    (b"[1e+]", 2), (b"[1eE2]", 2), (b"[0x1]", 2), (b"[1_0]", 2), (b"[--1]", 1), (b"[1.2.3]", 4), (b"[- 1]", 1),
    ("[１]".encode(), 1), (b'["a]', 1), (b'["a\nb"]', 3), (b'["a\tb"]', 3), (b'["\x00"]', 2), (b'["\x1f"]', 2),
    (b'["\\x41"]', 2), (b'["\\u12"]', 3), (b'["\\u12G4"]', 3), (b'["\\"]', 1), (b'["\\', 1), (b"['a']", 1),
    (b'["\\a"]', 2), (b'["\\u+123"]', 3), (b"[a]", 1), (b"[1,\x0c2]", 3), (b"[\x0b1]", 1), ("[1,\u00a02]".encode(), 3),
    ("[\u2060]".encode(), 1), (b"[1]//", 3), (b"[1/**/]", 2), (b"/**/[1]", 0), (b"[1]#", 3), (b"[*]", 1),
    (b"\xef\xbb\xbf\xef\xbb\xbf[1]", 3), (b"\xef\xbb{}", 0), (b"<html>", 0), (b"[undefined]", 1), (b"[1\x00]", 2),
]  # fmt: skip


def run(data: bytes, chunk_bytes: int = 1 << 20, **options: Any) -> list[Chunk]:
    async def collect() -> list[Chunk]:
        work = Work(io.BytesIO(data), len(data), processor.options.model_validate(options), None, None, chunk_bytes)
        return [chunk async for chunk in processor.chunks(work)]

    return asyncio.run(collect())


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for row in chunk.batch.to_pylist()]


def faults(chunks: list[Chunk]) -> list[tuple[int, int, str]]:
    return [(reject.row, reject.line, reject.code) for chunk in chunks for reject in chunk.rejects]


@pytest.mark.parametrize("data", GOOD, ids=repr)
def test_what_the_grammar_has_is_accepted(data: bytes) -> None:
    for chunk_bytes in (1, 1 << 20):
        run(data, chunk_bytes)


@pytest.mark.parametrize(("data", "at"), BAD, ids=[repr(data) for data, _ in BAD])
def test_what_the_grammar_does_not_have_is_refused_with_the_byte(data: bytes, at: int | None) -> None:
    with pytest.raises(InputError) as refused:
        run(data)
    assert refused.value.code in ("not_json", "json_too_deep")
    found = re.search(r"at byte ([\d,]+)", refused.value.message)
    assert found is not None
    assert at is None or int(found[1].replace(",", "")) == at


@pytest.mark.parametrize("path", [p for p in SUITE if p.name[0] in "yn"] or NONE, ids=lambda p: p.name)
def test_the_suite_of_others_is_read_as_it_says(path: Any) -> None:
    if path.name.startswith("y_"):
        run(path.read_bytes())
        return
    with pytest.raises(InputError, match="at byte"):
        run(path.read_bytes())


@pytest.mark.parametrize("path", [p for p in SUITE if p.name[0] == "i"] or NONE, ids=lambda p: p.name)
def test_what_others_leave_open_is_read_or_refused(path: Any) -> None:
    try:
        chunks = run(path.read_bytes())
    except InputError as refused:
        assert refused.suggestion
    else:
        for chunk in chunks:
            assert chunk.batch.num_rows + len(chunk.rejects) == chunk.read


def test_missing_keys_are_null_extra_ones_are_told_or_left_out_and_order_does_not_matter() -> None:
    document = [{"a": 1, "b": 2}, {"b": 3}, {"b": 5, "a": 4}]
    late = {"c": 9, "a": 6}
    data = json.dumps([*document, late]).encode()
    first = {"chunk_bytes": len(json.dumps(document)) - 10}
    assert rows(run(data, **first)) == [{"a": 1, "b": 2}, {"a": None, "b": 3}, {"a": 4, "b": 5}]
    assert faults(run(data, **first)) == [(4, 1, "unknown_key")]
    assert rows(run(data, **first, extra_keys="ignore"))[-1] == {"a": 6, "b": None}


def test_numbers_are_exact() -> None:
    data = b'[{"d": 0.1234567890123456789, "i": 123456789012345678901234567890, "f": 1.10, "j": [1.10, 1e400]}]'
    [row] = rows(run(data))
    assert row["i"] == 123456789012345678901234567890
    assert row["d"] in (Decimal("0.1234567890123456789"), "0.1234567890123456789")
    assert (row["f"], row["j"]) == (1.1, "[1.10, 1e400]")


@pytest.mark.parametrize(
    ("number", "is_stored"),  # as PostgreSQL takes them for jsonb, and does not
    [
        *(("1e131071", True), ("1e131072", False), ("0.0001e131075", True), ("0.0001e131076", False)),
        *(("1e-16383", True), ("1.5e-16383", False), ("0e-16384", False), ("2." + "9" * 16_384, False)),
        *(("0e999999999", True), ("1e0000000000005", True), ("1e99999999999", False), ("0e9999999999", False)),
    ],
)
def test_a_number_with_more_digits_than_jsonb_has_room_for_is_a_reject(number: str, is_stored: bool) -> None:
    chunks = run(b'[{"j": [0.5]}, {"j": [%s]}]' % number.encode())
    assert [row["j"] for row in rows(chunks)] == ["[0.5]", *([f"[{number}]"] if is_stored else [])]
    assert faults(chunks) == ([] if is_stored else [(2, 1, "not_json")])


def test_objects_in_objects_are_columns_if_that_is_asked_for() -> None:
    data = b'[{"a": {"b": {"c": 1}, "d": [{"e": 2}]}, "f": {}}]'
    assert rows(run(data, nested="flatten")) == [{"a_b_c": 1, "a_d": '[{"e": 2}]', "f": "{}"}]
    assert rows(run(data)) == [{"a": '{"b": {"c": 1}, "d": [{"e": 2}]}', "f": "{}"}]


@pytest.mark.parametrize("path", ["x.y.rows", "/x/y/rows"])
def test_rows_are_found_under_a_path(path: str) -> None:
    data = b'{"before": [{"rows": 1}, [2]], "x": {"y": {"rows": [{"n": 1}, {"n": 2}], "z": {}}}, "after": "end"}'
    assert rows(run(data, path=path)) == [{"n": 1}, {"n": 2}]


def test_a_key_with_a_dot_is_named_by_a_pointer() -> None:
    assert rows(run(b'{"a.b": {"c/d": [{"n": 1}]}}', path="/a.b/c~1d")) == [{"n": 1}]


def test_what_stands_before_a_path_may_be_larger_than_a_row_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "ELEMENT_LIMIT", 2_000)
    monkeypatch.setattr(elements, "READ_BYTES", 500)
    large = json.dumps({"deep": [{"list": [list(range(200))] * 50, "text": "x"}] * 3})
    data = b'{"large": ' + large.encode() + b', "rows": [{"n": 1}], "after": ' + large.encode() + b"}"
    assert rows(run(data, path="rows")) == [{"n": 1}]
    with pytest.raises(InputError, match="at byte"):
        run(data[:-5] + b"]" + data[-4:], path="rows")


@pytest.mark.parametrize("nested", ["jsonb", "flatten"])
def test_depth_has_an_end(nested: str) -> None:
    for deep in (b'{"a":' * 600 + b"1" + b"}" * 600, b"[" * 100_000, b'[{"a":' + b"[" * 600 + b"]" * 600 + b"}]"):
        with pytest.raises(InputError) as refused:
            run(deep, nested=nested)
        assert refused.value.code == "json_too_deep"


def test_a_document_is_read_packed_and_in_other_unicode() -> None:
    data = b'[{"a": "\xc3\xa9"}]'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "no rows")
        archive.writestr("rows.json", data)
    for form in (gzip.compress(data), packed.getvalue(), data.decode().encode("utf-16"), b"\xef\xbb\xbf" + data):
        assert rows(run(form)) == [{"a": "é"}]


def test_lines_of_rejects_are_those_of_the_file() -> None:
    assert faults(run(b'[\n{"a": 1},\n\n2,\n{"a":\n1}, 3]')) == [(2, 4, "not_an_object"), (4, 6, "not_an_object")]
