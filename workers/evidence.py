"""What was found out about a file, and how sure that is; it is shown before a file is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """`subject` is an option of the processor, `value` what it would be, `confidence` from 0 to 1.

    `column` is set where it is about one column of the file.
    """

    subject: str
    value: str | int | bool | tuple[str, ...] | None
    confidence: float
    why: str
    alternatives: tuple[str, ...] = ()
    column: str | None = None
