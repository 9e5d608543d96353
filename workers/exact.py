"""Values as a file writes them: JSON to the letter with its numbers unrounded, and text that can be stored."""

from __future__ import annotations

import re
from typing import NoReturn

_NUMBER = re.compile(r"-?(?P<whole>\d+)(?:\.(?P<decimals>\d*))?(?:[eE](?P<sign>[+-]?)0*(?P<exponent>\d*))?")
_DIGITS_BEFORE, _DIGITS_BEHIND, _EXPONENT_DIGITS = 131_072, 16_383, 9
"""Of the point: what PostgreSQL's numeric, and so jsonb, has room for."""


class Decimal(str):
    """A number with a point or exponent, as the file writes it: nothing is rounded, and 1e99999 costs nothing."""


def refuse(word: str) -> NoReturn:
    """What `json.loads` is to do about NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{word} is not JSON")


def stored(number: str) -> str:
    """A number of JSON, as it is written. Raises ValueError where jsonb has no room for its digits."""
    found = _NUMBER.fullmatch(number)
    if found is None or len(found["exponent"] or "") > _EXPONENT_DIGITS:
        raise ValueError("the number has too large an exponent")
    whole, decimals = found["whole"], found["decimals"] or ""
    exponent = int((found["sign"] or "") + (found["exponent"] or "0"))
    leading_zeros = len(decimals) - len(decimals.lstrip("0"))
    digits = len(whole.lstrip("0")) or -leading_zeros
    is_zero = not (whole + decimals).strip("0")
    if len(decimals) - exponent > _DIGITS_BEHIND or (digits + exponent > _DIGITS_BEFORE and not is_zero):
        raise ValueError("the number has too many digits")
    return number


def storable(text: str) -> str:
    """Text without what UTF-8 and PostgreSQL cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
