"""Glimpses of files are bounded, whatever a file says of itself, and names in archives are mere labels."""

from __future__ import annotations

import gzip
import io
import random
import struct
import warnings
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import zstandard

from service.actions.glimpses import HEAD_BYTES, glimpse_of
from service.actions.job_requests import JobRequest
from service.actions.recognising import recognised
from service.domain.glimpse import Glimpse
from service.domain.recognition import AUTO, MOST_MEMBERS, Unrecognised
from service.domain.zip_table import entries, table_of
from service.files.local import LocalStore
from service.files.masters import Masters
from service.files.opening import StoredFiles
from service.files.threads import Threads
from workers.registry import discover

CSV = b"id,name\n1,Ann\n2,Bob\n"
CATALOG = discover()


@pytest.fixture
def deps(tmp_path: Path) -> Any:
    threads = Threads(1)
    files = StoredFiles(tmp_path, LocalStore(tmp_path, threads), Masters([bytes(32)]), threads)
    yield SimpleNamespace(files=files, catalog=CATALOG)
    files.close()


async def stored(deps: Any, data: bytes) -> Any:
    async def body() -> AsyncIterator[bytes]:
        yield data

    return await deps.files.receive(uuid4(), body(), len(data))


async def glimpsed(deps: Any, data: bytes, name: str = "x") -> Glimpse:
    return await glimpse_of(deps, await stored(deps, data), name)


async def found(deps: Any, data: bytes) -> Any:
    asked = JobRequest(AUTO, "box")
    return await recognised(deps, await stored(deps, data), "x", asked)


def packed(*members: tuple[str, bytes]) -> bytes:
    into = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return into.getvalue()


async def test_of_what_unpacks_to_very_much_only_a_beginning_is_unpacked(deps: Any) -> None:
    zeros = bytes(64 * 1024 * 1024)
    for bomb in (gzip.compress(zeros), zstandard.compress(zeros)):
        assert len((await glimpsed(deps, bomb)).head) <= HEAD_BYTES
    [member] = (await glimpsed(deps, packed(("a.csv", zeros)))).members
    assert member.inside is not None
    assert len(member.inside.head) <= HEAD_BYTES


async def test_hostile_names_are_labels_and_name_no_path(deps: Any) -> None:
    names = ["../../etc/passwd.csv", "/abs.csv", "C:\\x.csv", "a\x01b.csv", "same.csv", "d/same.csv", "é/ü.csv"]
    flow = await found(deps, packed(*((name, CSV) for name in names)))
    datasets = [step.job.dataset for step in flow.steps]
    assert len(datasets) == len(set(datasets)) == len(names)
    assert datasets[0] == "box_passwd"
    assert all(dataset.replace("_", "").isalnum() and dataset.startswith("box_") for dataset in datasets)


async def test_what_is_hidden_encrypted_or_no_file_is_not_read(deps: Any) -> None:
    data = packed(("__MACOSX/a.csv", CSV), (".hidden.csv", CSV), ("folder/", b""), ("a.csv", CSV))
    only = await found(deps, data)
    assert (only.processor, only.options["member"]) == ("csv", "a.csv")
    secret = bytearray(packed(("a.csv", CSV)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        secret[secret.index(mark) + at] |= 1
    with pytest.raises(Unrecognised, match="encrypted"):
        await found(deps, bytes(secret))


async def test_an_archive_of_too_many_files_is_refused(deps: Any) -> None:
    with pytest.raises(Unrecognised, match="at most"):
        await found(deps, packed(*((f"{n}.csv", CSV) for n in range(MOST_MEMBERS + 1))))


async def test_an_archive_in_an_archive_is_not_opened(deps: Any) -> None:
    with pytest.raises(Unrecognised):
        await found(deps, packed(("inner.zip", packed(("a.csv", CSV)))))


def book(*members: tuple[str, bytes]) -> bytes:
    """A zip with such members whose beginning does not show its table of contents."""
    noise = random.Random(9).randbytes(2 * HEAD_BYTES)
    return packed(*members, ("noise", noise))


async def test_a_workbook_or_package_in_an_archive_is_known_by_the_names_in_it(deps: Any) -> None:
    mimetype = b"application/vnd.oasis.opendocument.spreadsheet"
    opened = io.BytesIO()
    with zipfile.ZipFile(opened, "w") as archive:
        archive.writestr("mimetype", mimetype)
        archive.writestr("content.xml", random.Random(9).randbytes(2 * HEAD_BYTES))
    members = {
        "a.xlsx": ("spreadsheet", book(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>"))),
        "late.xlsx": ("spreadsheet", book(("docProps/app.xml", b"<x/>"), ("xl/worksheets/sheet1.xml", b"<x/>"))),
        "b.xlsb": ("spreadsheet", book(("xl/workbook.bin", b"x"))),
        "c.xls": ("spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000)),
        "d.ods": ("spreadsheet", opened.getvalue()),
        "e.apkg": ("anki", book(("collection.anki2", b"SQLite"))),
        "f.colpkg": ("anki", book(("meta", b"\x08\x03"), ("collection.anki21b", b"zstd"))),
        "g.txt": ("anki", b"#separator:tab\n#html:false\nHund\tdog\n"),
        "h.txt": ("quizlet", b"Hund ----- dog\nKatze ----- cat\n"),
        "i.csv": ("csv", CSV),
        "word.docx": (None, book(("[Content_Types].xml", b"<x/>"), ("word/document.xml", b"<x/>"))),
        "inner.zip": (None, book(("a.csv", CSV))),
    }
    wanted = [(name, processor) for name, (processor, _) in members.items() if processor]
    flow = await found(deps, packed(*((name, data) for name, (_, data) in members.items())))
    assert [(step.job.options["member"], step.job.processor) for step in flow.steps] == wanted
    for name, (processor, data) in members.items():
        if processor is None:
            continue
        only = await found(deps, packed((name, data)))
        assert (only.processor, only.options["member"]) == (processor, name)
        for by_itself in (data, gzip.compress(data), zstandard.compress(data)):
            only = await found(deps, by_itself)
            assert (only.processor, "member" in only.options) == (processor, False), name


async def test_a_file_of_an_archive_that_could_be_two_things_is_not_left_out(deps: Any) -> None:
    pairs = b"Hund\tdog\nKatze\tcat\nMaus\tmouse\n"
    flow = await found(deps, packed(("a.txt", pairs), ("b.csv", CSV)))
    assert [step.job.processor for step in flow.steps] == ["csv", "csv"]


async def test_lies_in_a_table_of_contents_do_no_harm(deps: Any) -> None:
    whole, chance = packed(("a.csv", CSV), ("b.json", b'[{"a": 1}]')), random.Random(3)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(4, len(data))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        glimpse = await glimpsed(deps, bytes(data))
        assert all(len(m.inside.head) <= HEAD_BYTES for m in glimpse.members if m.inside is not None)


def test_sizes_of_a_wide_table_are_those_of_its_extra_field() -> None:
    wide = 0xFFFFFFFF
    extra = struct.pack("<2H2Q", 1, 16, 5 * 2**32, 4 * 2**32)
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 45, 45, 0, 8, 0, 0, 0, wide, wide, 1, len(extra), 0, 0, 0, 0, 7)
    [found] = entries(entry + b"a" + extra)
    assert (found.size_bytes, found.packed_bytes, found.at) == (5 * 2**32, 4 * 2**32, 7)
    cut = [each.size_bytes for each in entries(entry + b"a" + extra[:6])]
    assert cut in ([wide], [0])


def test_no_bytes_are_a_table_by_chance() -> None:
    chance = random.Random(5)
    for size in (0, 3, 21, 22, 500):
        noise = chance.randbytes(size)
        assert table_of(noise) == (0, 0)
        assert list(entries(noise)) == []
