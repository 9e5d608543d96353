"""Where the history is in what Google hands out: the file itself, a packed one, or one part of a Takeout in zips."""

from __future__ import annotations

import zipfile
import zlib
from typing import BinaryIO

from service.domain.errors import InputError
from workers.members import chosen, damaged, files_of
from workers.reading import Reading
from workers.takeout import pages
from workers.unpacking import compression_of, needs_choice

HEAD_BYTES = 512 * 1024
"""Where a history begins to show what it is; a page starts with 142 KB of style sheets."""
SUFFIXES = (".html", ".json")
MOST_LOOKED_AT = 500
"""Members whose beginning is read."""

_VIDEOS = (b"youtube.com/watch", b"youtube.com/shorts/", rb"youtube.com\/watch")
_SEARCHES = (b"/results?search_query", rb"\/results?search_query")


def reading_of(source: BinaryIO, member: str | None) -> Reading:
    """How to get at the history's bytes. Raises InputError: no member of the archive is one, or several are."""
    source.seek(0)
    packed = compression_of(source.read(16))
    if packed != "zip":
        return Reading(packed)
    archive, files = files_of(source)
    infos = [info for info in files if info.filename.lower().endswith(SUFFIXES)]
    names = [info.filename for info in infos]
    try:
        if member is None:
            open_ones = [info for info in infos if not info.flag_bits & 1][:MOST_LOOKED_AT]
            names = [info.filename for info in open_ones if _is_history(archive.open(info).read(HEAD_BYTES))]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise damaged("zip", error) from error
    if member is not None and member not in names:
        raise needs_choice(names, f"The archive has no page or JSON {member!r}.")
    if member is None and len(set(names)) > 1:
        raise needs_choice(names, "The archive has several histories of YouTube.")
    if not names and infos and all(info.flag_bits & 1 for info in infos):
        raise InputError(
            "password_protected", "The files in this archive are encrypted.", suggestion="Send it without a password."
        )
    if not names:
        raise InputError(
            "no_entries",
            "No file in this archive is a watch history of YouTube.",
            suggestion="A Takeout in several parts has it in one of them: send the others too.",
        )
    return Reading("zip", chosen(names, member or names[0]))


def _is_history(head: bytes) -> bool:
    """Whether this is YouTube's activity, more of it watched than searched for."""
    if pages.ENTRY not in head and not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return False
    videos = sum(head.count(mark) for mark in _VIDEOS)
    return videos > sum(head.count(mark) for mark in _SEARCHES)
