"""What the manifest beside the checkout expects of each deck and workbook, held against what is read of it."""

from __future__ import annotations

import ast
import asyncio
import csv
import io
import re
import zipfile
from typing import Any

import pytest

from service.domain.errors import InputError
from service.domain.processor import Work
from tests.corpus import CORPUS, corpus_file
from workers.anki.package import Package
from workers.registry import discover
from workers.sheets.book import opened, text_of

MANIFEST = CORPUS / "MANIFEST.tsv"
PROCESSORS = discover()
DUMMY = "update to the latest Anki version"


def listed(folder: str) -> list[Any]:
    """A case for each file of a folder that is there, with what is expected of it."""
    if not MANIFEST.exists():
        return [pytest.param("", "", marks=pytest.mark.skip(reason="needs ../shared/corpus"))]
    with MANIFEST.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"].startswith(f"{folder}/")]
    return [pytest.param(row["file"], row["expected"], id=row["file"]) for row in rows]


def read(name: str, processor: str, **options: Any) -> tuple[list[dict[str, Any]], int]:
    """The rows of a file, and how many were refused."""
    data, known = corpus_file(name).read_bytes(), PROCESSORS[processor]

    async def collect() -> tuple[list[dict[str, Any]], int]:
        work = Work(io.BytesIO(data), len(data), known.options.model_validate(options), None, None, 2**20)
        chunks = [chunk async for chunk in known.chunks(work)]
        return [row for c in chunks for row in c.batch.to_pylist()], sum(len(c.rejects) for c in chunks)

    return asyncio.run(collect())


def number(expected: str, of: str) -> int | None:
    found = re.search(rf"(\d+) {of}", expected)
    return int(found[1]) if found else None


@pytest.mark.parametrize(("name", "expected"), listed("anki"))
def test_a_deck_holds_what_the_manifest_says(name: str, expected: str) -> None:
    parts = {"notes": "notes", "cards": "cards", "reviews": "revlog", "note_types": "note types", "media": "media"}
    rows = {part: read(name, "anki", part=part) for part in parts}
    told = {part: number(expected, word) for part, word in parts.items()}
    assert any(count is not None for count in told.values()), expected
    for part, count in told.items():
        assert count is None or (len(rows[part][0]), rows[part][1]) == (count, 0), part
    assert not any(DUMMY in row["front"] for row in rows["notes"][0])
    if cloze := number(expected, "cloze"):
        assert sum(row["is_cloze"] and not row["is_occlusion"] for row in rows["note_types"][0]) in (cloze, cloze - 1)
    if scheduled := number(expected, "scheduled"):
        assert sum(row["state"] != "new" for row in rows["cards"][0]) == scheduled
    if deck := re.search(r"deck (.+)$", expected):
        assert {row["deck"] for row in rows["notes"][0]} == {deck[1]}
    if "tags on every note" in expected:
        assert all(row["tags"] for row in rows["notes"][0])


@pytest.mark.parametrize(("name", "expected"), listed("xlsx"))
def test_a_workbook_holds_what_the_manifest_says(name: str, expected: str) -> None:
    if "password" in expected or "calamine ERR" in expected:
        with pytest.raises(InputError) as refused:
            read(name, "spreadsheet")
        assert refused.value.code == ("password_protected" if "password" in expected else "file_damaged")
        return
    found = re.search(r"(?:calamine|per sheet) (\[.*?\])(?:;|$)", expected)
    assert found, expected
    sheets = [(str(sheet), int(rows)) for sheet, rows in ast.literal_eval(found[1])]
    filled = [(sheet, rows) for sheet, rows in sheets if rows]
    for sheet, rows in filled:
        inserted, rejected = read(name, "spreadsheet", sheet=sheet, header=0)
        assert len(inserted) + rejected == rows, sheet
    if filled:
        everything, refused_rows = read(name, "spreadsheet", sheet="*", header=0)
        assert len(everything) + refused_rows == sum(rows for _, rows in filled)
        assert list(dict.fromkeys(row["sheet"] for row in everything)) == [sheet for sheet, _ in filled]
    else:
        with pytest.raises(InputError, match="no rows"):
            read(name, "spreadsheet")


GENERATIONS = ("anki26-mixed-legacy-2-latest", "anki26-mixed-legacy-2-legacy2")


@pytest.mark.parametrize("kind", ["apkg", "colpkg"])
@pytest.mark.parametrize("part", ["notes", "cards", "reviews", "note_types", "decks", "media"])
def test_three_generations_of_one_deck_are_the_same_dataset(part: str, kind: str) -> None:
    newest, older = (f"anki/{name}.{kind}" for name in GENERATIONS)
    rows = read(newest, "anki", part=part)
    assert rows[0]
    assert read(older, "anki", part=part) == rows
    assert oldest(older, part) == rows


def oldest(name: str, part: str) -> tuple[list[dict[str, Any]], int]:
    """The deck as generation 1: the same database and media, as that names them."""
    package = Package(io.BytesIO(corpus_file(name).read_bytes()))
    packed = io.BytesIO()
    with zipfile.ZipFile(corpus_file(name)) as given, zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("collection.anki2", package.collection())
        for member in given.namelist():
            if member == "media" or member.isdecimal():
                archive.writestr(member, given.read(member))
    data, known = packed.getvalue(), PROCESSORS["anki"]

    async def collect() -> tuple[list[dict[str, Any]], int]:
        work = Work(io.BytesIO(data), len(data), known.options.model_validate({"part": part}), None, None, 2**20)
        chunks = [chunk async for chunk in known.chunks(work)]
        return [row for c in chunks for row in c.batch.to_pylist()], sum(len(c.rejects) for c in chunks)

    return asyncio.run(collect())


def test_dates_of_a_sheet_are_dates() -> None:
    rows, _ = read("xlsx/date.xlsx", "spreadsheet", header=0)
    book = opened(corpus_file("xlsx/date.xlsx").open("rb"))
    shown = [[text_of(cell) for cell in row] for row in book.get_sheet_by_index(0).to_python()]
    assert [str(next(iter(row.values()))) for row in rows] == [line[0] for line in shown]
