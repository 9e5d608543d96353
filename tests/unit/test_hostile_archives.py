"""Zip archives that are made to harm: each is refused, or read by a rule that makes it harmless."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import InputError
from tests.unit.test_takeout import card, page
from workers.anki.package import Package
from workers.takeout.packing import reading_of
from workers.unpacking import member_of, unpacked

TABLE = b"a,b\n1,2\n"
PAGE = page([card("Watched", "Film", "Someone", "1 Nov 2021, 18:06:16 AEDT")])


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that are there already
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def overlapping(name: str, data: bytes) -> bytes:
    """An archive whose table names one member twice, the second time by another name of the same length."""
    whole = zipped((name, data))
    end = whole.rindex(b"PK\x05\x06")
    start = whole.index(b"PK\x01\x02")
    entry = whole[start:end]
    table = entry + entry.replace(name.encode(), b"z" + name.encode()[1:])
    return whole[:start] + table + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(table), start, 0)


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def read(data: bytes, wanted: str | None = None) -> bytes:
    source = io.BytesIO(data)
    return b"".join(unpacked(source, "zip", member_of(source, wanted), 1000))


def refused(act: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as found:
        act()
    return found.value


def test_members_that_share_bytes_are_refused() -> None:
    data = overlapping("a.csv", TABLE)
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["a.csv", "z.csv"]
    for act in (lambda: read(data, "a.csv"), lambda: Package(io.BytesIO(data))):
        assert (error := refused(act)).code == "damaged_archive" and "overlap" in error.message
    assert refused(lambda: reading_of(io.BytesIO(overlapping("a.html", PAGE)), None)).code == "damaged_archive"


def test_a_table_behind_which_a_member_ends_is_refused() -> None:
    data = bytearray(zipped(("a.csv", TABLE)))
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 20, 10_000)  # so many packed bytes, it says
    assert refused(lambda: read(bytes(data))).code == "damaged_archive"


def test_a_member_that_begins_before_the_file_is_refused() -> None:
    data = bytearray(zipped(("a.csv", TABLE)))
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 12, 5_000)  # so long is the table, it says
    assert refused(lambda: read(bytes(data))).code == "damaged_archive"


def test_of_two_files_of_one_name_neither_is_guessed() -> None:
    data = zipped(("a.csv", TABLE), ("a.csv", b"c\n3\n"), ("b.csv", b"d\n4\n"))
    assert refused(lambda: read(data, "a.csv")).code == "damaged_archive"
    assert read(data, "b.csv") == b"d\n4\n"
    assert "2 files called 'a.csv'" in refused(lambda: read(zipped(("a.csv", b"1"), ("a.csv", b"2")))).message
    assert refused(lambda: reading_of(io.BytesIO(zipped(("a.html", PAGE), ("a.html", PAGE))), None)).code == (
        "damaged_archive"
    )


def test_links_are_no_files() -> None:
    data = zipped((link("passwd.csv"), b"/etc/passwd"), ("a.csv", TABLE))
    assert read(data) == TABLE
    assert refused(lambda: read(data, "passwd.csv")).code == "member_needed"


@pytest.mark.parametrize(
    "name", ["/etc/evil.csv", "../../evil.csv", "a\\..\\evil.csv", "C:\\evil.csv", "a/../../evil.csv"]
)
def test_a_name_that_leads_elsewhere_leads_nowhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inside := tmp_path / "one" / "two").mkdir(parents=True)
    monkeypatch.chdir(inside)
    data = zipped((name, TABLE))
    assert read(data) == TABLE
    assert read(data, zipfile.ZipFile(io.BytesIO(data)).namelist()[0]) == TABLE
    assert [files for _, _, files in os.walk(tmp_path) if files] == []
    assert not Path("/etc/evil.csv").exists()
