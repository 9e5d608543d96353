"""What the manifest beside the checkout expects of each JSON text and watch history, against what is read of it."""

from __future__ import annotations

import asyncio
import csv
import re
from collections import Counter

import pytest

from service.domain.chunk import Chunk
from service.domain.errors import InputError
from service.domain.processor import Work
from tests.corpus import CORPUS, corpus_file
from workers.registry import discover

MANIFEST = CORPUS / "MANIFEST.tsv"
LISTED = list(csv.DictReader(MANIFEST.open(encoding="utf-8"), delimiter="\t")) if MANIFEST.exists() else []
PROCESSORS = discover()
NONE = [pytest.param("", "", marks=pytest.mark.skip(reason="needs ../shared/corpus/MANIFEST.tsv"))]


def of(folder: str) -> list[tuple[str, str]]:
    return [(row["file"], row["expected"]) for row in LISTED if row["file"].startswith(folder)]


def read(processor: str, name: str) -> list[Chunk]:
    found, path = PROCESSORS[processor], corpus_file(name)
    assert found.chunks is not None
    chunks = found.chunks

    async def collect() -> list[Chunk]:
        with path.open("rb") as source:
            work = Work(source, path.stat().st_size, found.options(), None, None, 1 << 20)
            return [chunk async for chunk in chunks(work)]

    return asyncio.run(collect())


@pytest.mark.parametrize(("name", "expected"), of("json/") or NONE)
def test_a_text_is_accepted_or_refused_as_the_manifest_says(name: str, expected: str) -> None:
    if expected == "reject":
        with pytest.raises(InputError, match="at byte"):
            read("json", name)
    elif expected == "accept":
        read("json", name)
    else:
        assert expected in ("either, no crash", ""), expected
        try:
            read("json", name)
        except InputError as refused:
            assert refused.suggestion


@pytest.mark.parametrize(("name", "expected"), [each for each in of("takeout/") if each[0].endswith(".html")] or NONE)
def test_a_history_has_the_events_that_the_manifest_says(name: str, expected: str) -> None:
    chunks = read("watch_history", name)
    kinds = Counter(row["kind"] for chunk in chunks for row in chunk.batch.to_pylist())
    watches = sum(kinds[kind] for kind in ("video", "short", "music", "removed", "ad"))
    numbers = {what: int(count) for count, what in re.findall(r"(\d+) (?:YouTube )?(\w+)", expected)}
    assert watches == numbers["watches"]
    if "activities" in numbers:
        assert sum(chunk.read for chunk in chunks) == numbers["activities"]
