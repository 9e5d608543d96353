"""Sets of flashcards: which separators were meant, and what is asked where that cannot be told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import InputError
from workers.flashcards import Separators, detected, grid_of


def cards(text, term=None, row=None):
    grid, _ = grid_of(text, term, row)
    return [line.cells for line in grid.lines(0) if line.fault is None]


@pytest.mark.parametrize(
    ("term", "row"), [("\t", "\n"), ("\t", "\n\n"), ("\t", ";"), (" - ", "\n"), (",", "\n"), (",", ";"), ("::", "\n")]
)
def test_usual_separators_are_found(term, row):
    pairs = [("mitosis", "division"), ("DNA", "carries genes"), ("gene", "a piece")]
    text = row.join(term.join(pair) for pair in pairs)
    assert cards(text) == pairs


def test_a_tab_wins_over_commas_in_the_text():
    text = "one, two\tdrei, vier\nfive, six\tseven, eight"
    assert cards(text) == [("one, two", "drei, vier"), ("five, six", "seven, eight")]


def test_rows_that_read_in_two_ways_are_asked_about():
    with pytest.raises(InputError) as refused:
        cards("a=b, c\nd=e, f\ng=h, i")
    assert refused.value.code == "ambiguous_separators"
    assert "term_separator" in refused.value.suggestion


def test_prose_is_asked_about():
    with pytest.raises(InputError, match="No separators"):
        cards("Just some text.\nAnd another line of it.\nNothing else.")


def test_custom_separators_as_people_type_them():
    text = "a/////one\ntwo\n\n\nb/////three"
    assert cards(text, "/////", r"\n\n\n") == [("a", "one\ntwo"), ("b", "three")]


def test_only_the_first_separator_parts_a_row():
    assert cards("a\tb\tc\nd\te") == [("a", "b\tc"), ("d", "e")]


def test_a_row_without_a_separator_is_told_with_its_line():
    grid, _ = grid_of("a\tb\n\nmissing\nc\td", "\t", "\n")
    found = list(grid.lines(0))
    assert [(line.line, line.fault and line.fault.code) for line in found] == [
        (1, None),
        (3, "no_separator"),
        (4, None),
    ]


WORDS = st.text(
    st.characters(exclude_characters="\t\n\r;\ufeff", exclude_categories=["C", "Z"]), min_size=1, max_size=9
)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=9), st.sampled_from(["\n", "\n\n", ";"]))
def test_cards_with_tabs_come_back_as_they_went(pairs, row):
    text = row.join("\t".join(pair) for pair in pairs)
    assert detected(text, "\t", row) == Separators("\t", row)
    assert cards(text) == pairs


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_cards_or_a_question(text):
    try:
        cards(text)
    except InputError as refused:
        assert refused.code == "ambiguous_separators"
