"""Workbooks, packages and flashcards inside archives, or packed, are read as they are by themselves."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from service.domain.chunk import Chunk, Cursor
from service.domain.errors import InputError
from service.domain.filetype import check_kind, check_name, kind_of
from service.domain.processor import Work
from service.domain.zip_table import names_in
from tests.books import ods, xlsx
from tests.decks import note, package
from workers import unwrapping
from workers.registry import discover

CATALOG = discover()
SAMPLES = Path(__file__).parents[1] / "samples"
CARDS = b"Hund\tdog\nKatze\tcat\nMaus\tmouse\n"
CELL = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
TABLE = xlsx({"x": [["a", "b"], *([float(n), f"row {n}"] for n in range(20))]})
DECK = package([note(f"front {n}", guid=f"g{n}") for n in range(20)], {"a.png": b"\x89PNG\r\n\x1a\n"})
FILES = [
    ("spreadsheet", "book.xlsx", TABLE),
    (
        "spreadsheet",
        "book.ods",
        ods("".join(f"<table:table-row>{CELL.format(text)}</table:table-row>" for text in ("a", "x", "y"))),
    ),
    ("anki", "deck.apkg", DECK),
    ("anki", "notes.txt", (SAMPLES / "anki/notes.txt").read_bytes()),
    ("quizlet", "cards.txt", CARDS),
]
CASES = [pytest.param(*file, id=file[1]) for file in FILES]


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def read(
    processor: str,
    data: bytes,
    cursor: Cursor | None = None,
    columns: Any = None,
    explains: bool = False,
    **options: Any,
) -> list[Chunk]:
    known = CATALOG[processor]

    async def collect() -> list[Chunk]:
        given = known.options.model_validate(options)
        work = Work(io.BytesIO(data), len(data), given, cursor, columns, 4_000, explains=explains)
        assert known.chunks is not None
        return [chunk async for chunk in known.chunks(work)]

    return asyncio.run(collect())


def told(chunks: list[Chunk]) -> list[Any]:
    return [(c.batch, c.rejects, c.cursor, [(f.name, f.sha256) for f in c.enclosed]) for c in chunks]


def refused(processor: str, data: bytes, **options: Any) -> InputError:
    with pytest.raises(InputError) as found:
        read(processor, data, **options)
    return found.value


@pytest.mark.parametrize(("processor", "name", "data"), CASES)
def test_a_packed_file_gives_what_it_gives_by_itself(processor: str, name: str, data: bytes) -> None:
    plain = read(processor, data)
    assert sum(chunk.batch.num_rows for chunk in plain) > 1
    box = zipped(("other.bin", b"\0\1"), (f"inner/{name}", data))
    for packed in (box, gzip.compress(data), bz2.compress(data), zstandard.compress(data)):
        assert told(read(processor, packed)) == told(plain)
        assert all(chunk.done <= len(packed) for chunk in read(processor, packed))
    several = zipped((name, data), (f"two/{name}", data))
    assert told(read(processor, several, member=f"two/{name}")) == told(plain)
    assert refused(processor, several).code == "member_needed"
    assert "no member 'x'" in refused(processor, several, member="x").message


OTHERS = [
    ("csv", "people.csv", (SAMPLES / "csv/people.csv").read_bytes()),
    ("json", "orders.json", b'[{"a": 1}, {"a": 2}]'),
    ("ndjson", "orders.ndjson", b'{"a": 1}\n{"a": 2}\n'),
    ("watch_history", "verlauf.html", (SAMPLES / "watch_history/verlauf.html").read_bytes()),
    ("watch_history", "verlauf.json", (SAMPLES / "watch_history/verlauf.json").read_bytes()),
]


@pytest.mark.parametrize(("processor", "name", "data"), [*CASES, *(pytest.param(*file, id=file[1]) for file in OTHERS)])
def test_a_preview_names_what_packed_a_file_and_which_member_is_read(processor: str, name: str, data: bytes) -> None:
    def evidence(packed: bytes, **options: Any) -> dict[str, tuple[Any, str]]:
        first, *others = read(processor, packed, explains=True, **options)
        assert all(chunk.evidence is None for chunk in others)
        told = first.evidence or {}
        found = {entry["subject"]: (entry["value"], entry["why"]) for entry in told.get("evidence", ())}
        assert told.get("compression") == found.get("compression", (None, ""))[0]
        return {subject: found[subject] for subject in ("compression", "member") if subject in found}

    assert evidence(data) == {}
    assert evidence(gzip.compress(data)) == {"compression": ("gzip", "first bytes")}
    box = zipped((name, data), (f"two/{name}", data))
    assert evidence(box, member=f"two/{name}") == {
        "compression": ("zip", "first bytes"),
        "member": (f"two/{name}", "given"),
    }
    found = evidence(zipped(("other.bin", b"\0\1"), (name, data)))
    assert found["member"][0] == name
    assert found["member"][1].startswith("the only one")


@pytest.mark.parametrize(("processor", "name", "data"), CASES)
def test_reading_a_member_goes_on_behind_any_chunk(processor: str, name: str, data: bytes) -> None:
    box = zipped((name, data))
    whole = read(processor, box, member=name)
    for number, chunk in enumerate(whole, start=1):
        rest = read(processor, box, chunk.cursor, whole[0].columns, member=name)
        assert told(rest) == told(whole[number:])


def test_a_workbook_or_package_is_no_archive_of_files() -> None:
    for processor, _, data in FILES[:3]:
        assert told(read(processor, data)) == told(read(processor, data, member=None))
        assert refused(processor, data, member="x.xlsx").code == "member_needed"
    with_media = package([note("x"), note("y", guid="2")], {"cards.txt": CARDS, "other.apkg": DECK})
    assert sum(chunk.batch.num_rows for chunk in read("anki", with_media)) == 2


@pytest.mark.parametrize(("processor", "name", "data"), CASES)
def test_a_member_that_is_too_large_to_be_sought_in_is_refused(
    processor: str, name: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwrapping, "UNWRAPPED_BYTES", len(data) - 1)
    for packed in (zipped((name, data)), gzip.compress(data)):
        error = refused(processor, packed)
        assert (error.code, error.suggestion) == ("too_large", "Send it by itself, unpacked.")
    assert read(processor, data)
    monkeypatch.setattr(unwrapping, "UNWRAPPED_BYTES", len(data))
    assert read(processor, zipped((name, data)))


def test_what_is_damaged_encrypted_or_no_workbook_says_so() -> None:
    box = bytearray(zipped(("a.xlsx", TABLE)))
    box[60:80] = bytes(20)
    assert refused("spreadsheet", bytes(box)).code == "damaged_archive"
    secret = bytearray(zipped(("a.apkg", DECK)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        secret[secret.index(mark) + at] |= 1
        secret[secret.rindex(mark) + at] |= 1
    assert refused("anki", bytes(secret), member="a.apkg").code == "unsupported_archive"
    assert refused("spreadsheet", zipped(("a.xlsx", zipped(("b.xlsx", TABLE))))).code == "file_damaged"
    assert refused("anki", gzip.compress(DECK)[:-900]).code == "damaged_archive"


@pytest.mark.parametrize("processor", ["spreadsheet", "anki", "quizlet", "json"])
def test_a_packed_file_is_taken_in_for_the_processor_that_is_named(processor: str) -> None:
    known = CATALOG[processor]
    for suffix, packed in ((".zip", zipped(("a", b"b"))), (".gz", gzip.compress(b"b")), (".bz2", bz2.compress(b"b"))):
        check_name(f"box{suffix}", known, CATALOG)
        check_kind(kind_of(packed), known)


def test_names_are_seen_in_the_beginning_of_an_archive() -> None:
    data = zipped(("a.txt", b"1"), ("é/b.bin", b"2" * 1000), ("inner.zip", zipped(("hidden", b"3"))))
    assert list(names_in(data)) == ["a.txt", "é/b.bin", "inner.zip"]
    assert list(names_in(data[:40])) == ["a.txt"]
    assert [list(names_in(odd)) for odd in (b"", b"PK\x03\x04", b"text", b"PK\x05\x06" + bytes(18))] == [[]] * 4
    streamed = io.BytesIO()

    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            return streamed.write(piece)

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for name in ("xl/worksheets/sheet1.xml", "xl/workbook.xml"):
            archive.writestr(name, b"x" * 100)
    assert list(names_in(streamed.getvalue())) == ["xl/worksheets/sheet1.xml", "xl/workbook.xml"]
