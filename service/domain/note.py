"""A note: what is worth knowing of a row that was not refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class NoteCode(StrEnum):
    """`duplicate_in_file`: it met a row that the same job had brought. `edited_since`: an undo left it as it is.

    `conflict`: it has the key of a row and is something else, so it was left out.
    """

    DUPLICATE_IN_FILE = "duplicate_in_file"
    EDITED_SINCE = "edited_since"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Note:
    """On row `row` of a job, with its key where the dataset has one.

    `other_row` is the row that it met, or the one that changed it since, of job `other_job`.
    """

    row: int
    code: NoteCode
    other_job: UUID | None
    other_row: int | None
    keys: Mapping[str, Any]

    @property
    def message(self) -> str:
        """As a sentence."""
        if self.code is NoteCode.DUPLICATE_IN_FILE:
            return f"Row {self.other_row} of the same file has this key too; of two rows the later one counts."
        if self.code is NoteCode.CONFLICT:
            other = "the same file" if self.other_job is None else f"job {self.other_job}"
            return f"Row {self.other_row} of {other} has this key and is something else, so this row was left out."
        return f"Row {self.other_row} of job {self.other_job} has changed it since, so it was left as it is."
