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


def of_packing(compression: str | None, member: str | None, why: str) -> list[Evidence]:
    """That a file is packed, and which member of an archive is read, and why that one."""
    packed = [] if compression is None else [Evidence("compression", compression, 1.0, "first bytes")]
    return packed if member is None else [*packed, Evidence("member", member, 1.0, why)]
