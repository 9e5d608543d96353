"""Arrays of JSON documents element by element, to the letter of RFC 8259."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import InputError
from tests.corpus import CORPUS
from workers import elements as reader
from workers.elements import elements

SUITE = sorted((CORPUS / "json" / "parsing").glob("*.json"))
NONE = [pytest.param(CORPUS, marks=pytest.mark.skip(reason="needs ../shared/corpus/json"))]


@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("y_")] or NONE, ids=lambda p: p.name)
def test_what_must_be_accepted_is(path):
    with path.open("rb") as source:
        list(elements(source, ()))


@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("n_")] or NONE, ids=lambda p: p.name)
def test_what_must_be_refused_is_with_its_position(path):
    with path.open("rb") as source, pytest.raises(InputError, match="byte") as refused:
        list(elements(source, ()))
    assert refused.value.code in ("not_json", "json_too_deep")


@pytest.mark.parametrize("path", [p for p in SUITE if p.name.startswith("i_")] or NONE, ids=lambda p: p.name)
def test_what_may_be_either_is_no_crash(path):
    with path.open("rb") as source:
        try:
            list(elements(source, ()))
        except InputError as refused:
            assert refused.suggestion


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=8), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1]))
def test_an_array_is_read_in_any_pieces_and_resumed_behind_any_element(values, read_bytes, is_ascii, indent):
    document = {"before": [{"x": [1]}], "rows": {"items": values}, "after": {"items": [2]}}
    data = json.dumps(document, ensure_ascii=is_ascii, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reader, "READ_BYTES", read_bytes)
        found = list(elements(BytesIO(data), ("rows", "items")))
        assert [element.value for element in found] == values
        for number, element in enumerate(found):
            assert json.loads(data[element.start : element.end]) == element.value
            rest = list(elements(BytesIO(data), ("rows", "items"), element.end))
            assert [other.value for other in rest] == values[number + 1 :]


@given(st.lists(VALUES, max_size=5), st.data())
def test_a_document_cut_anywhere_is_refused(values, data):
    whole = json.dumps({"rows": values}).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InputError):
        list(elements(BytesIO(whole[:cut]), ("rows",)))


def test_a_path_that_is_not_there_names_what_is():
    with pytest.raises(InputError, match="'a'") as refused:
        list(elements(BytesIO(b'{"a": 1}'), ("b",)))
    assert refused.value.code == "path_not_found"


def test_an_endless_element_is_refused(monkeypatch):
    monkeypatch.setattr(reader, "ELEMENT_LIMIT", 1000)
    monkeypatch.setattr(reader, "READ_BYTES", 100)
    with pytest.raises(InputError) as refused:
        list(elements(BytesIO(b'[["' + b"x" * 5000 + b'"]]'), ()))
    assert refused.value.code == "record_too_large"


def test_numbers_keep_every_digit():
    [first, second] = elements(BytesIO(b"[1.10, 12345678901234567890123]"), ())
    assert (first.value, second.value) == ("1.10", 12345678901234567890123)
