"""Values as a file writes them: JSON to the letter with its numbers unrounded, and text that can be stored."""

from __future__ import annotations

from typing import NoReturn


class Decimal(str):
    """A number with a point or exponent, as the file writes it: nothing is rounded, and 1e99999 costs nothing."""


def refuse(word: str) -> NoReturn:
    """What `json.loads` is to do about NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{word} is not JSON")


def storable(text: str) -> str:
    """Text without what UTF-8 and PostgreSQL cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
