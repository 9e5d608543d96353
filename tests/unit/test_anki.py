"""Anki's packages of every generation, their collections, and what is done about hostile ones."""

from __future__ import annotations

import html
import io
import json
import sqlite3
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.apkg.fields import clozes, media, plain, uncovered
from service.apkg.notes import Notes
from service.apkg.templates import shows
from service.apkg.writing import Writer
from service.domain.errors import InputError
from tests.corpus import CORPUS, corpus_file
from workers.anki.collection import Collection
from workers.anki.package import Package

COUNTS = {
    "empty-latest.apkg": (3, 0, 0, 0, 0),
    "empty-legacy-2.apkg": (2, 0, 0, 0, 0),
    "empty-legacy-2.colpkg": (2, 0, 0, 0, 0),
    "mixed-legacy-2.apkg": (2, 8, 13, 26, 1),
    "ap_gov_vocab_anki11.apkg": (1, 242, 484, 0, 0),
    "anki26-mixed-legacy-2-latest.apkg": (3, 8, 13, 26, 1),
    "anki26-mixed-legacy-2-latest.colpkg": (3, 8, 13, 26, 1),
    "anki26-mixed-legacy-2-legacy2.apkg": (2, 8, 13, 26, 1),
    "anki26-mixed-legacy-2-legacy2.colpkg": (2, 8, 13, 26, 1),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_real_package_holds_what_it_should(name):
    package, collection = opened(name)
    notes, cards, reviews = list(collection.notes()), list(collection.cards()), list(collection.reviews())
    found = (package.generation, len(notes), len(cards), len(reviews), len(list(package.media())))
    assert found == COUNTS[name]
    assert sum(note.cards for note in notes) == len(cards)
    assert all(len(note.values) == len(collection.types[note.type_id].fields) for note in notes)
    assert {card.deck_id for card in cards} <= collection.decks.keys()
    assert all("update to the latest" not in note.values[0] for note in notes)


def test_generations_of_one_deck_hold_the_same():
    newest, older = opened("anki26-mixed-legacy-2-latest.apkg"), opened("anki26-mixed-legacy-2-legacy2.apkg")
    assert list(newest[1].notes()) == list(older[1].notes())
    assert [card.id for card in newest[1].cards()] == [card.id for card in older[1].cards()]
    assert list(newest[1].reviews()) == list(older[1].reviews())
    for mine, other in zip(newest[1].types.values(), older[1].types.values(), strict=True):
        assert (mine.name, mine.fields, mine.templates) == (other.name, other.fields, other.templates)
        assert (mine.is_cloze, mine.is_occlusion) == (other.is_cloze, other.is_occlusion)
    [one], [two] = (list(package.media()) for package, _ in (newest, older))
    assert one == two
    with newest[0].open(one) as mine, older[0].open(two) as other:
        assert mine.read() == other.read()


def test_reading_goes_on_behind_any_row():
    _, collection = opened("mixed-legacy-2.apkg")
    notes = list(collection.notes())
    for at, note in enumerate(notes):
        assert list(collection.notes(note.id)) == notes[at + 1 :]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"x.txt": b"x"}, "unsupported_format"),
        ({"meta": b"\x08\x09", "collection.anki21b": b""}, "unsupported_format"),
        ({"collection.anki2": b"no database"}, "file_damaged"),
        ({"meta": b"\x08\x03", "collection.anki21b": b"not compressed"}, "file_damaged"),
        ({"meta": b"\x08\x02", "collection.anki2": b"SQLite format 3\0"}, "file_damaged"),
    ],
)
def test_what_is_no_package_is_refused(members, code):
    with pytest.raises(InputError) as refused:
        Collection(Package(zipped(members)).collection())
    assert refused.value.code == code
    assert refused.value.suggestion


def test_a_table_that_is_a_view_is_refused():
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    db = sqlite3.connect(":memory:")
    db.executescript(
        "create table col (crt int, ver int, models text, decks text); insert into col values (1, 11, '{}', '{}');"
        f"create table cards (id int); create view notes as {endless};"
    )
    with pytest.raises(InputError, match="no table notes"):
        Collection(db.serialize())


def test_a_schema_of_the_future_is_refused():
    db = sqlite3.connect(":memory:")
    db.executescript(
        "create table col (crt int, ver int); insert into col values (1, 250);"
        "create table cards (id int); create table notes (id int);"
    )
    with pytest.raises(InputError, match="schema 250"):
        Collection(db.serialize())


@pytest.mark.parametrize("column", ["id", "mid", "mod"])
def test_text_where_a_number_should_be_is_damage(column):
    db = sqlite3.connect(":memory:")
    db.executescript(
        "create table col (crt int, ver int, models text, decks text); insert into col values (1, 11, '{}', '{}');"
        "create table cards (id int, nid int, did int, odid int);"
        "create table notes (id, guid text, mid int, mod int, tags text, flds text);"
        f"insert into notes values (1, 'g', 2, 3, '', 'f'); update notes set {column} = 'h\u00a3 o';"
    )
    with pytest.raises(InputError, match="The collection is damaged"):
        list(Collection(db.serialize()).notes())


def test_names_of_media_are_file_names_or_nothing():
    names = ["../evil", "/etc/passwd", "", "a\\b", "..", "ok.png", "caf\u0065\u0301.png"]
    members = {"collection.anki2": b"", "media": json.dumps(dict(enumerate(names))).encode(), "5": b"x"}
    found = list(Package(zipped(members)).media())
    assert [(medium.name, medium.member) for medium in found] == [("ok.png", "5"), ("caf\u00e9.png", None)]


@settings(deadline=None)
@given(st.data())
def test_a_damaged_package_is_an_error_and_no_crash(data):
    path = CORPUS / "anki" / "anki26-mixed-legacy-2-latest.apkg"
    if not path.exists():
        pytest.skip("needs ../shared/corpus/anki")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        package = Package(io.BytesIO(content))
        collection = Collection(package.collection())
        assert len(list(collection.notes())) <= 1000
        list(collection.cards())
        list(collection.reviews())
        list(package.media())
    except InputError as refused:
        assert refused.suggestion


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a&nbsp;<b>b</b>", "a b"),
        ("one<br>two<div>three</div>", "one\ntwo\nthree"),
        ("1 &lt; 2 [sound:x.mp3]", "1 < 2"),
        ("<style>p {}</style>x<script>alert(1)</script>", "x"),
    ],
)
def test_a_field_as_plain_text(html, text):
    assert plain(html) == text


def test_media_of_a_field():
    html = '[sound:a b.mp3]<img src="x%20y.png"><img src=z.png class=q><img src="https://e.com/w.png">'
    assert media(html) == ["a b.mp3", "x y.png", "z.png"]


def test_clozes_nest_and_share():
    found = list(clozes("{{c1::outer {{c2::inner::hint}} end::help}} {{c1,3::both}} {{c4::open"))
    assert [(cloze.numbers, cloze.text, cloze.hint) for cloze in found] == [
        ((1,), "outer inner end", "help"),
        ((2,), "inner", "hint"),
        ((1, 3), "both", None),
    ]
    assert uncovered("a {{c1::b {{c2::c}}::h}} d") == "a b c d"


@settings(deadline=None)
@given(st.text("{}c1:2, x", max_size=60))
def test_any_text_may_look_like_clozes(text):
    assert all(cloze.numbers for cloze in clozes(text))
    uncovered(text)


def opened(name):
    package = Package(corpus_file(f"anki/{name}").open("rb"))
    return package, Collection(package.collection())


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    packed.seek(0)
    return packed


TEXT = st.text(st.characters(exclude_categories=["C"]), max_size=20)
CARDS = st.fixed_dictionaries({"front": TEXT, "back": TEXT, "deck": st.sampled_from(["Default", "A::B"])})


@settings(deadline=None)
@given(st.lists(CARDS, max_size=8))
def test_a_package_written_here_reads_back_as_it_was(cards):
    writer, notes, packed = Writer(1_700_000_000), Notes("cards"), io.BytesIO()
    for number, card in enumerate(cards):
        writer.add(notes.of({**card, "tags": "x y", "guid": f"g{number}"}))
    writer.write(packed)
    collection = Collection(Package(packed).collection())
    found = list(collection.notes())
    assert [[html.unescape(value) for value in note.values] for note in found] == [
        [c["front"], c["back"]] for c in cards
    ]
    assert [collection.decks[note.deck_id].name for note in found] == [card["deck"] for card in cards]
    assert all(note.tags == ("x", "y") and note.cards == 1 for note in found)


@pytest.mark.parametrize(
    ("question", "values", "is_shown"),
    [
        ("{{Front}}", {"Front": "x"}, True),
        ("{{Front}}", {"Front": " "}, False),
        ("{{type:Front}} and more", {"Front": ""}, False),
        ("{{#Add Reverse}}{{Back}}{{/Add Reverse}}", {"Back": "b", "Add Reverse": ""}, False),
        ("{{#Add Reverse}}{{Back}}{{/Add Reverse}}", {"Back": "b", "Add Reverse": "y"}, True),
        ("{{^A}}{{#B}}{{C}}{{/B}}{{/A}}", {"A": "", "B": "1", "C": "c"}, True),
    ],
)
def test_a_card_is_made_where_its_question_shows_something(question, values, is_shown):
    assert shows(question, values) is is_shown
