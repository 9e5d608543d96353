"""Watch histories: what is read by a shortcut is what the long way gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.processor import Work
from tests.corpus import corpus_file
from tests.unit.test_takeout import CHANNEL, LOCALES, both_ways, card
from workers.processors.watch_history import WatchHistoryOptions
from workers.takeout import dates, pages, usual
from workers.takeout.clock import Clock
from workers.takeout.events import Entry, Link, event_of
from workers.takeout.reading import read
from workers.takeout.usual import PART_LIMIT
from workers.takeout.zones import zone_of

TIMES = [(0, 0, 0), (4, 20, 22), (12, 30, 59), (16, 20, 22), (24, 0, 0), (4, 60, 0)]
NO_CORPUS = pytest.param("", marks=pytest.mark.skip(reason="no ../shared/corpus"))


def the_long_way(text: str, locale: str, tz: str | None = None) -> float | None:
    language = next(found for found in dates.languages() if locale in found.locales)
    if (moment := dates.read(text, language)) is None:
        return None
    return moment.at.replace(tzinfo=zone_of(moment.zone, language.locales, tz).tz).timestamp()


def other_times(text: str) -> Iterator[str]:
    """The same day at other times, possible and impossible ones, with one digit of the hour and with two."""
    if (found := re.search(r"(\d{1,2})([:.])(\d\d)([:.])(\d\d)(?!.*[:.]\d\d)", text)) is None:
        return
    for hour, minute, second in TIMES:
        for written in {f"{hour}", f"{hour:02}"}:
            clock = f"{written}{found[2]}{minute:02}{found[4]}{second:02}"
            yield text[: found.start()] + clock + text[found.end() :]


@pytest.mark.parametrize("locale", LOCALES or [NO_CORPUS])
def test_a_day_that_is_remembered_reads_as_one_that_is_not(locale: str) -> None:
    texts = [f"{text}{zone}" for _, text in LOCALES[locale] for zone in ("", " MEZ", " GMT+5:30")]
    known = next(language.locales[0] for language in dates.languages() if locale in language.locales)
    clock = Clock(None, known)
    for text in texts:
        # The sample itself first, then each of its other times when the day is known and before it is.
        for moment in (text, *other_times(text), *reversed([*other_times(text)])):
            assert clock.read([moment]) == [the_long_way(moment, known)], moment


def test_days_are_remembered_where_the_time_stands_between_two_colons() -> None:
    clock = Clock(None, "en_AU")
    texts = [f"12 Jul 2026, {hour}:{minute:02}:07 pm AEST" for hour in (1, 2, 3) for minute in range(60)]
    assert clock.read(texts) == [the_long_way(text, "en_AU") for text in texts]
    assert len(clock._days) == 1


PIECES = st.sampled_from(["12", "1", "2026", " ", ", ", ":", ".", "Jul", "pm", "\u200e", "\u0661", "\u202f", "\u00b2"])
MOMENTS = [
    ("en_AU", "12 Jul 2026, 4:20:22 pm AEST"),
    ("en_US", "Jul 12, 2026, 4:20:22\u202fPM UTC"),
    ("de", "12.07.2026, 16:20:22 MESZ"),
    ("ko", "2026. 7. 12. 오후 4:20:22 GMT+9"),
    ("vi", "16:20:22 12 thg 7, 2026"),
]


@given(st.sampled_from(MOMENTS), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), PIECES), max_size=3))
@settings(max_examples=200)
def test_odd_moments_are_read_alike(moment: tuple[str, str], changes: list[tuple[int, int, str]]) -> None:
    locale, text = moment
    known = next(language.locales[0] for language in dates.languages() if locale in language.locales)
    for at, gone, piece in changes:
        text = text[:at] + piece + text[at + gone :]
    others = [text, *other_times(text), text]
    for tz in ("UTC", "Europe/Berlin"):
        expected = [the_long_way(other, known, tz) for other in others]
        assert Clock(tz, known).read(others) == expected
        clock = Clock(tz, known)
        assert [clock.read([other])[0] for other in others] == expected


def test_a_zone_with_summer_time_has_each_hour_of_a_remembered_day() -> None:
    texts = [f"25 Oct 2026, {hour:02}:30:00" for hour in range(24)]
    found = Clock("Europe/Berlin", "en_AU").read(texts)
    assert found == [the_long_way(text, "en_AU", "Europe/Berlin") for text in texts]
    assert found[3] - found[2] == 2 * 3600  # the hour that comes twice is meant the first time


WATCH = "https://www.youtube.com/watch?v="


@given(
    st.text(max_size=8) | st.just(WATCH + "abcdefghijk"),
    st.text("abcXYZ019_-é/&", max_size=22),
    st.sampled_from(["YouTube", "YouTube Music"]),
    st.booleans(),
)
def test_the_usual_address_tells_what_its_long_form_tells(title: str, video: str, product: str, is_ad: bool) -> None:
    at = 1_783_814_400
    usual = event_of(Entry(Link(title, WATCH + video), Link("C", CHANNEL), at, product, is_ad))
    # The other scheme is never taken for the usual form.
    titled = "http" + title.removeprefix("https") if title.startswith("https:") else title
    other = event_of(Entry(Link(titled, "http" + WATCH[5:] + video), Link("C", CHANNEL), at, product, is_ad))
    assert usual._replace(url=None, title=None) == other._replace(url=None, title=None)
    assert (usual.title is None) == (other.title is None)


ODD = [
    card("Watched", "Tom &amp; Jerry", "A & B", "12 Jul 2026, 16:20:22 UTC", url="https://www.google.com/url?q=a&sa=b"),
    card("Watched a video that has been removed", None, None, "12 Jul 2026, 16:20:22 UTC<br>"),
    card("Watched", "x", "", "12 Jul 2026, 16:20:22 UTC"),
    card("Watched", "x", "y", "no time at all"),
    card("Watched", "x", "y\nz", "12 Jul 2026,\n16:20:22 UTC"),
    card("Watched", "a&#10;b", "y", "12 Jul 2026, 16:20:22 UTC"),
    card("Watched", "x", "&nbsp;", "12 Jul 2026, 16:20:22 UTC"),
    card("Watched", "x", "y", "12 Jul 2026, 16:20:22 UTC").replace(CHANNEL, "https://www.youtube.com/@some?a=1&amp;b"),
    card("Watched", "x" * PART_LIMIT, "y", "12 Jul 2026, 16:20:22 UTC"),
    card("Watched", "x", "y", "12 Jul 2026, 16:20:22 UTC").replace("YouTube<br></p>", "&nbsp;YouTube&nbsp;<br></p>"),
    card("Watched", "x", "y", "12 Jul 2026, 16:20:22 UTC").replace("<b>Products:</b>", "<b>Products:<i></i></b>"),
    card("Watched", "x", "y", "12 Jul 2026, 16:20:22 UTC").replace("Watched", "<b>Watched</b>"),
    card("Watched", "x", "y", "12 Jul 2026, 16:20:22 UTC", is_ad=True) + "</div></body></html>",
]


@pytest.mark.parametrize("entry", ODD)
def test_odd_entries_are_the_same_by_form_and_by_tree(entry: str) -> None:
    found, expected = both_ways(
        [entry.encode(), ODD[0].encode(), entry.encode()]
    )  # by itself, and now that its frame is known
    assert found == expected


def test_odd_entries_among_each_other_are_the_same_by_form_and_by_tree() -> None:
    found, expected = both_ways([entry.encode() for entry in (*ODD, *reversed(ODD))])
    assert found == expected
    assert len({type(event) for event in found}) == 2


@pytest.mark.parametrize(
    ("name", "locale"),
    [("scrubbed_de_wiedergabeverlauf.html", "de"), ("scrubbed_en-AU_watch-history.html", "en_AU")],
)
def test_real_entries_take_the_short_way(name: str, locale: str) -> None:
    data = corpus_file(f"takeout/{name}").read_bytes()
    entries = [pages.ENTRY + entry for entry in data.split(pages.ENTRY)[1:]]
    _, expected = both_ways(entries, locale)
    assert usual.events_of(entries, Clock(None, locale).read) == expected


def test_what_no_database_holds_is_taken_out_of_texts() -> None:
    entries = [
        {"title": title, "titleUrl": WATCH + "abcdefghijk", "time": "2026-07-12T16:20:22Z", "header": "YouTube"}
        for title in ("Watched a\0b", "Watched plain")
    ]
    halves = [{**entries[0], "title": "Watched \ud800 half"}, entries[1]]
    for found, expected in ((entries, ["ab", "plain"]), (halves, ["? half", "plain"])):
        data = json.dumps(found).encode()
        [chunk] = read(Work(BytesIO(data), len(data), WatchHistoryOptions(), None, None, 2**20), None)
        assert chunk.batch.column("title").to_pylist() == expected
