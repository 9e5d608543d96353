"""What type text has, what each type accepts, and what columns are called."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, InvalidOperation, localcontext
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError
from workers.casting import cast
from workers.columns import arrow_type, column_names, infer
from workers.reasons import reason

KEY = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("texts", "kind", "scale"),
    [
        ([], "text", None),
        ([None, ""], "text", None),
        (["1", None, "", "-20"], "integer", None),
        (["0"], "integer", None),
        (["2147483647"], "integer", None),
        (["2147483648"], "bigint", None),
        (["9223372036854775808"], "numeric", 0),
        (["9" * 38], "numeric", 0),
        (["9" * 39], "text", None),
        (["007", "1"], "text", None),
        (["00.5"], "text", None),
        (["+5"], "text", None),
        ([" 5"], "text", None),
        (["0x1f"], "text", None),
        (["1.50", "2.25", "3"], "numeric", 2),
        (["1.5", "2.25"], "double", None),
        (["1.5", "2e3"], "double", None),
        (["1e400"], "text", None),
        (["1.5", "1.2345678901234567"], "numeric", 16),
        (["1.5", "1.2345678901234567890"], "text", None),
        (["1234567890123456.5", "1.25"], "numeric", 2),
        (["0.1234567890123456789012345678"], "text", None),
        (["1.5", "nan"], "text", None),
        (["inf"], "text", None),
        (["true", "False", "TRUE"], "boolean", None),
        (["t", "f"], "boolean", None),
        (["t", "t"], "text", None),
        (["1", "true"], "text", None),
        (["2024-01-31", "2024-02-29"], "date", None),
        (["2024-02-30"], "text", None),
        (["0000-01-01"], "text", None),
        (["2024-01-31T10:00", "2024-01-31 10:00:00.123456"], "timestamp", None),
        (["2024-01-31T10:00:00.1234567"], "text", None),
        (["2024-01-31T10:00Z", "2024-01-31 10:00:00+02", "2024-01-31 10:00:00+0200"], "timestamptz", None),
        (["2024-01-31T10:00Z", "2024-01-31T10:00"], "text", None),
        ([KEY, KEY.upper()], "uuid", None),
        ([KEY.replace("-", "")], "text", None),
        (["1\n"], "text", None),
    ],
)
def test_a_column_has_the_narrowest_type_that_keeps_its_text(
    texts: list[str | None], kind: str, scale: int | None
) -> None:
    column = infer("a", pa.array(texts, pa.string()))
    assert (column.type.value, column.scale) == (kind, scale)
    _, bad = cast(pa.array(texts, pa.string()), column)
    assert not bad.any()


def values(kind: str, texts: Sequence[str | None], scale: int | None = None) -> list[Any]:
    """What each text becomes, "bad" if it is refused."""
    column = Column("a", ColumnType(kind), scale)
    array, bad = cast(pa.array(texts, pa.string()), column)
    assert array.type == arrow_type(column)
    return ["bad" if wrong else value for value, wrong in zip(array.to_pylist(), bad, strict=True)]


def test_bad_cells_are_masked_and_the_others_kept() -> None:
    assert values("integer", ["1", "x", "", None, "2147483648", "0x1f", " 7 ", "007", "-0"]) == [
        *(1, "bad", None, None, "bad", "bad", 7, 7, 0)
    ]
    assert values("bigint", ["9223372036854775807", "9223372036854775808", "9" * 40, "0" * 50 + "1"]) == [
        *(2**63 - 1, "bad", "bad", 1)
    ]
    assert values("double", ["1.5", "1,5", "1e400", "-inf", ".5", "5."]) == [1.5, "bad", "bad", float("-inf"), 0.5, 5.0]
    assert values("boolean", ["true", "NO", "1", "2", "", " true"]) == [True, False, True, "bad", None, "bad"]
    assert values("text", ["", None, "a\0b", "x"]) == ["", None, "bad", "x"]
    assert values("jsonb", ['{"a":1}', "{", "NaN", '"\\u0000"', '"\\ud800"', '"\\\\u0000"', ""]) == [
        *('{"a":1}', "bad", "bad", "bad", "bad", '"\\\\u0000"', None)
    ]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("integer", "-17", ["many", "0x1f", "1-7", "2147483648", "-"]),
        ("bigint", " 9", ["9x", "0XFF", "--9", "9" * 19]),
        ("double", "1e5", ["1,5", "1-5", "1e400", "nano"]),
        ("numeric", "1.50", ["many", "1.555", ".-5", "9" * 39, "1e99"]),
        ("date", "2024-02-29", ["2023-02-29", "29/2/2024", "2024-2-29"]),
        ("timestamp", "2024-01-31T10:00", ["2024-01-31T25:00", "soon", "2024-01-31 10:00Z"]),
        ("timestamptz", "2024-01-31 10:00+01", ["2024-01-31 10:00", "2024-01-31 10:00+1", "0000-01-01 00:00Z"]),
        ("boolean", "yes", ["maybe", " yes"]),
        ("uuid", KEY, [KEY[:-1] + "g", KEY.replace("-", "_"), KEY + "0"]),
    ],
)
def test_bad_cells_are_found_wherever_they_stand_in_a_long_column(kind: str, good: str, bad: list[str]) -> None:
    column = Column("c", ColumnType(kind), 2 if kind == "numeric" else None)
    right = cast(pa.array([good]), column)[0][0]
    for places in ([0, 5_999], [3_000], [2_047, 2_048, 2_049]):
        for text in bad:
            texts = [None if at % 100 == 7 else good for at in range(6_000)]
            for place in places:
                texts[place] = text
            array, wrong = cast(pa.array(["", *texts], pa.string())[1:], column)
            assert wrong.nonzero()[0].tolist() == places
            assert array.null_count == texts.count(None) + len(places)
            assert array.drop_null().unique().to_pylist() == [right.as_py()]


def test_a_numeric_is_never_rounded() -> None:
    texts = ["1.5", "1.50", "1.500", "1.555", "1e2", "1.5e-3", "9" * 36, "9" * 37, "9" * 38, "9" * 39, "x"]
    assert values("numeric", texts, 2)[:5] == [*(Decimal("1.50"),) * 3, "bad", Decimal("100.00")]
    assert values("numeric", texts, 2)[5:] == ["bad", Decimal("9" * 36), *("bad",) * 4]


def test_dates_that_do_not_exist_are_bad() -> None:
    assert values("date", ["2024-02-29", "2023-02-29", "0000-01-01", "10000-01-01", "", "9999-12-31"]) == [
        *(dt.date(2024, 2, 29), "bad", "bad", "bad", None, dt.date(9999, 12, 31))
    ]
    assert values("timestamp", ["2024-01-31T25:00", "0000-01-01 00:00", "2024-01-31"]) == [
        *("bad", "bad", dt.datetime(2024, 1, 31))
    ]
    zoned = values("timestamptz", ["2024-01-31T00:00+01:00", "2024-01-31T00:00", "0001-01-01T00:00+01:00"])
    assert zoned[0].isoformat() == "2024-01-30T23:00:00+00:00"
    assert zoned[1:] == ["bad", "bad"]


@given(st.lists(st.one_of(st.none(), st.just(""), st.uuids().map(str), st.text(max_size=36)), max_size=8))
def test_uuids_are_what_the_standard_library_says(texts: list[str | None]) -> None:
    def obvious(text: str | None) -> Any:
        if not text:
            return None
        is_canonical = len(text) == 36 and all(c in "0123456789abcdefABCDEF-" for c in text)
        dashes = [i for i, c in enumerate(text) if c == "-"]
        return uuid.UUID(text).bytes if is_canonical and dashes == [8, 13, 18, 23] else "bad"

    assert values("uuid", texts) == [obvious(text) for text in texts]


DIGITS = st.one_of(st.text("0123456789", max_size=4), st.integers(0, 10**40).map(str), st.text("09", max_size=45))
NUMBERS = st.builds("{}{}{}{}".format, st.sampled_from(["", "-", "+"]), DIGITS, st.sampled_from(["", "."]), DIGITS)
EXPONENTS = st.one_of(
    st.just(""), st.just(""), st.integers(-50, 50).map("e{}".format), st.sampled_from(["E999999999", "e-999999999"])
)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.builds(str.__add__, NUMBERS, EXPONENTS), max_size=5),
    st.integers(0, 12),
)
def test_numerics_are_exactly_what_decimal_says(texts: list[str], scale: int) -> None:
    def obvious(text: str) -> Any:
        if not text:
            return None
        with localcontext() as context:
            context.prec, context.Emax, context.Emin = 2_000, MAX_EMAX, MIN_EMIN
            try:
                value = Decimal(text)
            except InvalidOperation:
                return "bad"
            if abs(value) >= Decimal(10) ** (38 - scale):
                return "bad"
            return value if value == value.quantize(Decimal(1).scaleb(-scale)) else "bad"

    assert values("numeric", texts, scale) == [obvious(text) for text in texts]


CELLS = st.one_of(
    st.none(),
    st.text(alphabet="0123456789+-.eE:TZ /xtrufalsn", max_size=12),
    st.integers().map(str),
    st.floats().map(repr),
    st.datetimes().map(str),
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.dates().map(str),
    st.booleans().map(str),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(CELLS, max_size=6), st.sampled_from([kind.value for kind in ColumnType]))
def test_a_cell_is_judged_alone_as_it_is_among_others(texts: list[str | None], kind: str) -> None:
    scale = 2 if kind == "numeric" else None
    alone = [value for text in texts for value in values(kind, [text], scale)]
    assert repr(values(kind, texts, scale)) == repr(alone)


@settings(max_examples=250, deadline=None)
@given(st.lists(CELLS, max_size=6))
def test_what_was_inferred_from_text_can_hold_it(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.string())
    assert not cast(array, infer("a", array))[1].any()


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("integer", "x", "not_an_integer"),
        ("integer", "99999999999", "out_of_range"),
        ("double", "x", "not_a_number"),
        ("double", "1e400", "out_of_range"),
        ("numeric", "1.234", "too_many_decimals"),
        ("numeric", "9" * 38, "out_of_range"),
        ("boolean", "maybe", "not_a_boolean"),
        ("date", "31.01.2024", "not_a_date"),
        ("date", "0000-01-01", "out_of_range"),
        ("timestamp", "noon", "not_a_timestamp"),
        ("timestamptz", "2024-01-31T10:00", "not_a_timestamp"),
        ("uuid", "x", "not_a_uuid"),
        ("jsonb", "{", "not_json"),
        ("text", "a\0", "nul_byte"),
    ],
)
def test_a_reason_has_a_stable_code_and_names_the_column(kind: str, text: str, code: str) -> None:
    column = Column("amount", ColumnType(kind), 2 if kind == "numeric" else None)
    found, message, suggestion = reason(column, text)
    assert found == code
    assert "amount" in message
    assert suggestion


def test_column_names_are_plain_and_distinct() -> None:
    header = ["Name", " First  Name ", "name", "2024", "", "_row", "_job", "Größe", "a.b-c", "name_2", "１２", "ＡＢ"]
    names = [
        "name",
        "first_name",
        "name_2",
        "_2024",
        "column_5",
        "row",
        "job",
        "größe",
        "a_b_c",
        "name_2_2",
        "_12",
        "ab",
    ]
    assert column_names(header) == names


@given(st.lists(st.text(max_size=80), max_size=12))
def test_column_names_always_fit_postgresql(header: list[str]) -> None:
    names = column_names(header)
    assert len(set(names)) == len(header)
    assert all(0 < len(name.encode()) <= 63 and name not in ("_row", "_job") for name in names)
    assert column_names(names) == names


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        column_names(["a"] * 1_591)
    assert caught.value.code == "too_many_columns"
