"""How many rows of a job may be refused before it is stopped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from service.domain.errors import InputError

ENOUGH_ROWS = 1_000
"""A share says nothing over fewer rows, except over the whole file."""


def _limit(given: object) -> object:
    if isinstance(given, bool) or (isinstance(given, float) and not given.is_integer()):
        raise ValueError('write a number of rows such as 100, or a share such as "5%"')
    text = str(given).strip().removesuffix(".0")
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?%", text) and float(text[:-1]) <= 100:
        return text
    raise ValueError('write a number of rows such as 100, or a share such as "5%"')


MaxRejects = Annotated[int | str, BeforeValidator(_limit)]
"""A number of rows, or a share of the rows read, such as "5%"."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """At most `rows` rejects, or `percent` of the rows read; None where that does not matter."""

    rows: int | None = None
    percent: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Tolerance:
        """What a job's options say."""
        given = options.get("max_rejects")
        if isinstance(given, str):
            return cls(percent=float(given.removesuffix("%")))
        return cls(rows=given)

    def check(self, read: int, rejected: int, *, is_all: bool = False) -> None:
        """Raise InputError if `rejected` of the `read` rows so far are too many; `is_all` when no more will come."""
        if self.rows is not None and rejected > self.rows:
            raise _too_many(read, rejected, f"max_rejects allows {self.rows:,}")
        is_enough = is_all or read >= ENOUGH_ROWS
        if self.percent is not None and is_enough and 100 * rejected > self.percent * read:
            raise _too_many(read, rejected, f"max_rejects allows {self.percent:g} %")


def _too_many(read: int, rejected: int, allowed: str) -> InputError:
    return InputError(
        "too_many_rejects",
        f"{rejected:,} of the first {read:,} rows were refused, and {allowed}.",
        suggestion="Look at the rejects and at the job's options, or allow more. The rows read so far are kept: cancel "
        "or retry from the start takes them back.",
    )
