"""Watch histories: moments in every language, entries by their form and by their tree, HTML equal to JSON."""

from __future__ import annotations

import csv
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from tests.corpus import CORPUS, corpus_file
from workers.processors.watch_history import WatchHistoryOptions
from workers.takeout import dates, exports, pages
from workers.takeout.clock import Clock
from workers.takeout.events import Event
from workers.takeout.reading import _by_tree, _read, read
from workers.takeout.zones import zone_of

Row = dict[str, Any]
SAMPLES = Path(__file__).parents[1] / "samples" / "watch_history"


def locales() -> Mapping[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    table = CORPUS / "takeout" / "locale_dates_cldr.tsv"
    if table.exists():
        with table.open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                found[row["locale"]].append((row["iso"], row["cldr_medium"]))
    return found


LOCALES = locales()


@pytest.mark.parametrize("locale", LOCALES or [pytest.param("", marks=pytest.mark.skip(reason="no ../shared/corpus"))])
@pytest.mark.parametrize("zone", [None, "MEZ"])
def test_every_locale_of_cldr_is_read(locale: str, zone: str | None) -> None:
    items = [(iso, f"{text} {zone}" if zone else text) for iso, text in LOCALES[locale]]
    language = dates.language_of([dates.plain(text) for _, text in items])
    assert language is not None
    read_as = [dates.read(text, language) for _, text in items]
    assert read_as == [dates.Moment(datetime.fromisoformat(iso), zone) for iso, _ in items]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("12.07.2026, 16:20:22 MESZ", "2026-07-12T16:20:22"),
        ("Jul 12, 2026, 4:20:22\u202fPM UTC", "2026-07-12T16:20:22"),
        ("12 Sept 2026, 16:20:22 BST", "2026-09-12T16:20:22"),
        ("12 Sep 2026, 16:20:22 BST", "2026-09-12T16:20:22"),
        ("12 Jul 2026, 12:00:01 am AEST", "2026-07-12T00:00:01"),
    ],
)
def test_a_moment_alone_says_what_it_means(text: str, iso: str) -> None:
    language = dates.language_of([dates.plain(text)])
    assert language is not None
    moment = dates.read(text, language)
    assert moment is not None
    assert moment.at == datetime.fromisoformat(iso)


@given(st.text(max_size=40))
def test_what_is_no_moment_is_none(text: str) -> None:
    language = dates.languages()[0]
    found = dates.read(text, language)
    assert found is None or any(character.isdigit() for character in text)


@pytest.mark.parametrize(
    ("name", "locales_", "hours"),
    [
        ("AEDT", (), 11),
        ("MEZ", ("de",), 1),
        ("GMT+5:30", (), 5.5),
        ("UTC\u22123", (), -3),
        ("IST", ("he",), 2),
        ("IST", ("en_IN",), 5.5),
        ("CST", ("zh_CN",), 8),
        ("CST", ("en_US",), -6),
        (None, (), 0),
    ],
)
def test_an_abbreviation_is_one_offset(name: str | None, locales_: tuple[str, ...], hours: float) -> None:
    assert zone_of(name, locales_, None).tz.utcoffset(datetime(2026, 1, 1)) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("when", "tz", "value", "confidence", "why"),
    [
        ("1 Nov 2021, 18:06:16 AEDT", None, "UTC+11:00", 1.0, "AEDT is UTC+11:00 on every row, as at the export"),
        ("Nov 1, 2021, 6:06:16 PM CST", None, "UTC-06:00", 0.6, "CST taken as UTC-06:00, the commonest meaning"),
        ("1 Nov 2021, 18:06:16 AEDT", "Europe/Berlin", "Europe/Berlin", 1.0, "as the option tz says: Europe/Berlin"),
    ],
)
def test_a_preview_tells_by_which_rule_times_are_read(
    when: str, tz: str | None, value: str, confidence: float, why: str
) -> None:
    data = page([card("Watched", f"Film {n}", "Someone", when) for n in range(1_500)])
    work = Work(BytesIO(data), len(data), WatchHistoryOptions(), None, None, 2**20, explains=True)
    first, *others = read(work, tz)
    assert first.evidence is not None
    [told] = first.evidence["evidence"]
    assert (told["subject"], told["value"], told["confidence"]) == ("tz", value, confidence)
    assert told["why"].startswith(why)
    assert others
    assert all(chunk.evidence is None for chunk in others)
    assert all(chunk.evidence is None for chunk in chunks_of(data))


def test_the_rule_for_times_is_told_once_whether_or_not_the_job_is_resumed() -> None:
    times = ["1 Nov 2021, 18:06:16 AEDT"] * 1_500 + ["1 Nov 2021, 18:06:16 GMT+3"] * 1_500
    data = page([card("Watched", f"Film {n}", "Someone", when) for n, when in enumerate(times)])
    rules = ["AEDT is UTC+11:00 on every row, as at the export", "UTC+03:00, as every row says"]
    chunks = list(chunks_of(data))
    assert [remark for chunk in chunks for remark in chunk.remarks] == rules
    for at, chunk in enumerate(chunks):
        before = [remark for earlier in chunks[: at + 1] for remark in earlier.remarks]
        assert before + [remark for later in chunks_of(data, chunk.cursor) for remark in later.remarks] == rules
    assert not any(chunk.remarks for chunk in chunks_of((SAMPLES / "verlauf.json").read_bytes()))


def test_an_unknown_zone_asks_for_the_option() -> None:
    with pytest.raises(InputError, match="XYZT") as refused:
        zone_of("XYZT", (), None)
    assert "tz=" in refused.value.suggestion
    assert zone_of("XYZT", (), "Asia/Kathmandu").tz.utcoffset(datetime(2026, 1, 1)) == timedelta(hours=5.75)


@pytest.mark.parametrize(
    ("name", "count"), [("scrubbed_de_wiedergabeverlauf.html", 20), ("scrubbed_en-AU_watch-history.html", 63)]
)
def test_a_real_page_gives_all_its_watches(name: str, count: int) -> None:
    rows = rows_of(corpus_file(f"takeout/{name}").read_bytes())
    assert len(rows) == count
    assert {row["kind"] for row in rows} <= {"video", "removed"}
    assert all(row["video_id"] and row["at"].year > 2018 for row in rows)
    assert all((row["title"] is None) == (row["kind"] == "removed") for row in rows)


def test_other_activities_are_no_videos() -> None:
    rows = rows_of(corpus_file("takeout/MyActivity.html").read_bytes())
    assert [row["kind"] for row in rows] == ["other"] * 3


def test_real_entries_are_the_same_by_form_and_by_tree() -> None:
    for name in ("scrubbed_de_wiedergabeverlauf.html", "scrubbed_en-AU_watch-history.html", "MyActivity.html"):
        data = corpus_file(f"takeout/{name}").read_bytes()
        found, expected = both_ways([pages.ENTRY + entry for entry in data.split(pages.ENTRY)[1:]])
        assert found == expected


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(lambda t: t.strip())


@given(
    st.lists(
        st.tuples(
            TEXTS, st.none() | TEXTS, st.booleans(), st.sampled_from(["", "<br>"]), st.sampled_from(["&", "&nbsp;"])
        ),
        min_size=1,
        max_size=4,
    )
)
def test_made_entries_are_the_same_by_form_and_by_tree(made: list[tuple[str, str | None, bool, str, str]]) -> None:
    entries = [
        card("Watched", title, channel, "1 Nov 2021, 18:06:16 AEDT" + end, is_ad).replace("&nbsp;", blank).encode()
        for title, channel, is_ad, end, blank in made
    ]
    found, expected = both_ways(entries)
    assert found == expected
    for event, (title, channel, is_ad, _, _) in zip(found, made, strict=True):
        assert isinstance(event, Event)
        assert (event.title, event.channel, event.kind == "ad") == (title, channel, is_ad)


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(max_examples=50)
def test_hostile_pages_are_rejects_and_no_crash(noise: bytes, times: int) -> None:
    data = b'<p class="mdl-x">' + (pages.ENTRY + noise) * times
    lots = list(pages.batches(BytesIO(data), 0))
    assert sum(len(lot.entries) for lot in lots) >= times
    assert lots[-1].end == len(data)
    for lot in lots:
        found, expected = both_ways(lot.entries)
        assert found == expected


def test_a_page_is_resumed_behind_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    data = page([card("Watched", f"Film {n}", "Someone", f"{n % 28 + 1} Nov 2021, 18:06:16 AEDT") for n in range(40)])
    whole = rows_of(data)
    for batch_bytes in (1, 7, 700, 5000):
        monkeypatch.setattr(pages, "BATCH_BYTES", batch_bytes)
        chunks = list(chunks_of(data))
        assert [row for chunk in chunks for row in chunk.batch.to_pylist()] == whole
        for at in range(0, len(chunks), max(1, len(chunks) // 5)):
            before = [row for chunk in chunks[: at + 1] for row in chunk.batch.to_pylist()]
            rest = [row for chunk in chunks_of(data, chunks[at].cursor) for row in chunk.batch.to_pylist()]
            assert before + rest == whole


SORTS = [
    ("https://www.youtube.com/watch?v=abcdefghijk", "video"),
    ("https://www.youtube.com/shorts/abcdefghijk", "short"),
    ("https://music.youtube.com/watch?v=abcdefghijk", "music"),
    ("https://www.youtube.com/post/Ugkx", "post"),
    ("https://www.youtube.com/results?search_query=cats", "search"),
    ("https://www.google.com/url?q=https://www.youtube.com/watch%3Fv%3Dabcdefghijk&usg=x", "video"),
]


@pytest.mark.parametrize(("url", "kind"), SORTS)
def test_sorts_are_told_by_address_in_both_forms(url: str, kind: str) -> None:
    html = page([card("Angesehen", "Ein Film", "Jemand", "12.07.2026, 16:20:22 UTC", url=url)])
    entry = {"header": "YouTube", "title": "Ein Film angesehen", "titleUrl": url, "time": "2026-07-12T16:20:22Z"}
    entry["subtitles"] = [{"name": "Jemand", "url": CHANNEL}]  # type: ignore[assignment]
    [row] = rows_of(html)
    assert row["kind"] == kind
    [same] = rows_of(json.dumps([entry]).encode())
    assert same["kind"] == kind
    if kind not in ("post", "search"):  # of these the page has the title, the sentence of JSON is not known
        assert same == row


def test_advertisements_and_removed_videos_are_told_apart() -> None:
    url = "https://www.youtube.com/watch?v=abcdefghijk"
    cards = [
        card("Watched", "Buy this", None, "12 Jul 2026, 16:20:22 UTC", is_ad=True, url=url),
        card("Watched", url, None, "12 Jul 2026, 16:20:22 UTC", url=url),
        card("Watched a video that has been removed", None, None, "12 Jul 2026, 16:20:22 UTC"),
    ]
    assert [row["kind"] for row in rows_of(page(cards))] == ["ad", "removed", "removed"]


@pytest.mark.parametrize("sentence", ["Watched {}", "{} angesehen", "{} を視聴しました", "Unbekannt: {} gesehen"])
def test_a_title_is_what_the_sentence_holds(sentence: str) -> None:
    titles = [f"{word} film, part {word}" for word in ("A", "The", "Some", "Any", "One", "No", "Every", "Last", "Big")]
    found = exports.sentence_of([sentence.format(title) for title in titles])
    assert [found.title(sentence.format(title)) for title in titles] == titles


def test_an_entry_without_a_time_is_a_reject() -> None:
    entries = [{"title": "Watched A", "time": "2026-07-12T16:20:22Z"}, {"title": "Watched B"}, 7]
    [chunk] = chunks_of(json.dumps(entries).encode())
    assert [reject.row for reject in chunk.rejects] == [2, 3]
    assert chunk.batch.num_rows == 1


HISTORY = (SAMPLES / "verlauf.html").read_bytes()
REST = {
    "Takeout/archive_browser.html": b"<html><body>Takeout</body></html>",
    "Takeout/YouTube und YouTube Music/Abos/Abos.csv": b"id,url,title\n1,https://www.youtube.com/channel/UC1,A\n",
}
WHERE = "Takeout/YouTube und YouTube Music/Verlauf/Wiedergabeverlauf.html"


def takeout(files: Mapping[str, bytes]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_of_a_takeout_in_several_parts_the_one_that_has_it_gives_the_history() -> None:
    searches = page([card("Gesucht nach", "cats", None, "12.07.2026, 16:20:22 MESZ", url=SORTS[4][0])] * 3)
    part = {**REST, WHERE.replace("Wiedergabeverlauf", "Suchverlauf"): searches}
    assert rows_of(takeout({**part, WHERE: HISTORY})) == rows_of(HISTORY)
    with pytest.raises(InputError) as refused:
        rows_of(takeout(part))
    assert refused.value.code == "no_entries"
    assert "in several parts" in refused.value.suggestion


def test_of_several_histories_one_has_to_be_named() -> None:
    other = WHERE.replace(".html", ".json")
    box = takeout({WHERE: HISTORY, other: (SAMPLES / "verlauf.json").read_bytes()})
    with pytest.raises(InputError) as refused:
        rows_of(box)
    assert refused.value.code == "member_needed"
    assert WHERE in refused.value.message
    assert other in refused.value.message
    work = Work(BytesIO(box), len(box), WatchHistoryOptions(), None, None, 2**20)
    assert sum(chunk.batch.num_rows for chunk in read(work, None, other)) == 5


def test_a_takeout_behind_a_password_says_so() -> None:
    box = bytearray(takeout({WHERE: HISTORY}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        box[box.index(mark) + at] |= 1
    with pytest.raises(InputError) as refused:
        rows_of(bytes(box))
    assert refused.value.code == "password_protected"


def test_a_file_that_is_no_history_is_refused() -> None:
    for data, code in ((b"a,b\n1,2\n", "unsupported_format"), (b"[]", "no_entries"), (b"[1,", "not_json")):
        with pytest.raises(InputError) as refused:
            rows_of(data)
        assert refused.value.code == code


CHANNEL = "https://www.youtube.com/channel/UC1"


def both_ways(entries: list[bytes], locale: str = "en_AU") -> tuple[list[Event | str], list[Event | str]]:
    """What they are read as, and what each of them is by its tree alone."""
    return _read(entries, Clock(None, locale)), [_by_tree(entry, Clock(None, locale)) for entry in entries]


def card(
    verb: str, title: str | None, channel: str | None, when: str, is_ad: bool = False, url: str = SORTS[0][0]
) -> str:
    link = "" if title is None else f'<a href="{escape(url)}">{escape(title)}</a>'
    under = "" if channel is None else f'<a href="{CHANNEL}">{escape(channel)}</a><br>'
    details = "<b>Details:</b><br>&emsp;From Google Ads<br>" if is_ad else ""
    return (
        '<div class="outer-cell mdl-cell"><div class="mdl-grid"><div class="header-cell mdl-cell">'
        '<p class="mdl-typography--title">YouTube<br></p></div><div class="content-cell mdl-typography--body-1">'
        f'{verb}&nbsp;{link}<br>{under}{when}</div><div class="content-cell mdl-typography--text-right"></div>'
        f'<div class="content-cell mdl-typography--caption"><b>Products:</b><br>&emsp;YouTube<br>{details}</div>'
        "</div></div>"
    )


def page(cards: list[str]) -> bytes:
    return ('<html><body><div class="mdl-grid">' + "".join(cards) + "</div></body></html>").encode()


def chunks_of(data: bytes, cursor: Any = None) -> Iterator[Chunk]:
    return read(Work(BytesIO(data), len(data), WatchHistoryOptions(), cursor, None, 2**20), None)


def rows_of(data: bytes) -> list[Row]:
    rows = [row for chunk in chunks_of(data) for row in chunk.batch.to_pylist()]
    return [{**row, "at": row["at"].astimezone(UTC)} for row in rows]
