"""The files in a zip archive. Nothing is ever written under their names, so those may be as they like.

Folders and links are no files; the content of a link is a path, not data.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

from service.domain.errors import InputError
from service.domain.zip_table import HEADER_BYTES

MEMBER_LIMIT = 10_000
"""Members of a zip file that are looked at."""


def files_of(source: BinaryIO) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The archive and its files, the first MEMBER_LIMIT. Raises InputError: it is damaged, or members overlap."""
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise damaged("zip", error) from error
    infos = archive.infolist()[:MEMBER_LIMIT]
    if any(info.header_offset < 0 for info in archive.infolist()):
        raise damaged("zip", ValueError("a member begins before the file does"))
    refuse_overlaps(archive.infolist(), archive.start_dir)
    return archive, [info for info in infos if not info.is_dir() and not is_link(info)]


def refuse_overlaps(infos: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Raise InputError where two members share bytes, as those of a bomb do; `end` is where the last one must end."""
    placed = sorted(infos, key=lambda info: info.header_offset)
    ends = [info.header_offset + HEADER_BYTES + len(info.orig_filename) + info.compress_size for info in placed]
    starts = [info.header_offset for info in placed[1:]] + [end]
    if any(stop > start for stop, start in zip(ends, starts, strict=False)):
        raise InputError(
            "damaged_archive",
            "Files in the zip archive overlap, which no packer makes.",
            suggestion="Pack them anew; do not trust where this archive came from.",
        )


def chosen(names: Sequence[str], name: str) -> str:
    """A name that is there. Raises InputError if it is there more than once."""
    if names.count(name) > 1:
        raise InputError(
            "damaged_archive",
            f"The zip archive has {names.count(name)} files called {name[:200]!r}, so which one is meant is not clear.",
            suggestion="Pack them anew with different names.",
        )
    return name


def is_link(info: zipfile.ZipInfo) -> bool:
    """Whether this member is a symbolic link."""
    return stat.S_ISLNK(info.external_attr >> 16)


def damaged(compression: str | None, error: Exception) -> InputError:
    """What was packed cannot be unpacked."""
    return InputError(
        "damaged_archive",
        f"The {compression} file is damaged or cut short: {error}.",
        suggestion="Send it again; compare its checksum with the original's.",
    )
