"""How text in a file names a column: predictably, in lower case, within PostgreSQL's 63 bytes."""

from __future__ import annotations

import re
import unicodedata

NAME_BYTES = 63


def plain_name(text: str) -> str:
    """The column name that a header cell stands for; empty if it has no letter or digit.

    Compatible characters are made one (NFKC), letters small, everything else an underscore, none at the ends; a digit
    in front gets one. Applied twice it changes nothing.
    """
    plain = re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", text).lower()).strip("_")
    if plain[:1].isdigit():
        plain = "_" + plain
    return cut(plain, NAME_BYTES)


def cut(text: str, size_bytes: int) -> str:
    """As much of a name as fits into so many bytes."""
    return text.encode()[:size_bytes].decode(errors="ignore").rstrip("_")
