"""What is seen of a file before anybody reads it: its beginning, the members of an archive, and what that says."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Glimpse:
    """The beginning of a file, unpacked if it is `packed` (gzip, zstd …), and its members if it is a zip.

    `kind` is what the first bytes of the file itself say, as `domain.filetype` names it. `is_whole` says that `head`
    is all there is.
    """

    name: str
    kind: str
    head: bytes
    is_whole: bool
    packed: str | None = None
    members: tuple[Member, ...] = ()

    @cached_property
    def text(self) -> str | None:
        """The beginning as text, without a mark in front; None if it is none."""
        data = self.head
        if self.kind not in ("text", "binary") and self.packed is None:
            return None
        for mark, encoding in MARKS:
            if data.startswith(mark):
                return data[len(mark) :].decode(encoding, "replace")
        if b"\0" in data:
            return None
        try:
            return codecs.getincrementaldecoder("utf-8")().decode(data, final=self.is_whole)
        except UnicodeDecodeError:
            return data.decode("latin-1")

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that are whole and not empty, a hundred at most."""
        lines = (self.text or "").replace("\r\n", "\n").replace("\r", "\n").split("\n", 400)
        if not self.is_whole or len(lines) > 400:
            lines = lines[:-1]
        return [line for line in lines if line.strip()][:100]

    @property
    def suffix(self) -> str:
        """What the name ends with, in small letters; that of the packing is left out."""
        name = self.name.lower()
        if self.packed is not None:
            name = name.rpartition(".")[0]
        return "." + name.rpartition(".")[2] if "." in name else ""

    @cached_property
    def first_value(self) -> tuple[Any, bool]:
        """The JSON value that the text begins with, and whether that is all; (None, False) if there is none."""
        text = (self.text or "").lstrip()
        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return None, False
        return value, self.is_whole and not text[end:].strip()


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: as the table of contents tells of it, and its beginning where that was looked at."""

    name: str
    size_bytes: int
    is_encrypted: bool
    inside: Glimpse | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """That a file is of a processor's format: how sure, from 0 to 1, what speaks for it, and with which options."""

    confidence: float
    why: str
    options: Mapping[str, Any] = field(default_factory=dict)


Recognises = Callable[[Glimpse], Guess | None]
"""None where nothing speaks for the format. It runs in the service, so it looks and does not read."""
