"""What is said where rows and the keys they are to be known by do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.chunk import Column
from service.domain.errors import InputError
from service.domain.row_options import RowOptions
from service.store import merges

REFUSALS = {
    "key_missing": (
        "The row has no value in a key column, so nothing says which row it is.",
        "Fill in the key and send the row again.",
    ),
    "key_too_long": (
        f"The key of this row is longer than {merges.KEY_BYTES} bytes.",
        "Use a shorter column as the key.",
    ),
    "not_unique": (
        "The dataset has a row with this key already.",
        "Import with mode=upsert to change rows that are there, or remove the row.",
    ),
}


def check_keys(options: RowOptions, columns: Sequence[Column], brought: Sequence[str] | None) -> None:
    """Raise InputError if the file has no values for a key, or for what else rows are to be told apart by."""
    has = [column.name for column in columns] if brought is None else brought
    if lacking := [key for key in options.keys if key not in has]:
        raise InputError(
            "invalid_keys",
            f"The file has no column {', '.join(lacking)}, which is to be a key; it has {', '.join(has)[:500]}.",
            suggestion="Name columns of the file in keys.",
        )
    meeting = options.meeting
    if meeting is None:
        return
    if meeting.on_conflict == "newer" and meeting.newer_by not in has:
        raise InputError(
            "unknown_column",
            f"The file has no column {meeting.newer_by}, which is to say what is newer; it has {', '.join(has)[:500]}.",
            suggestion="Name a column of the file in newer_by, or leave on_conflict=newer out.",
        )
    if lacking := [name for name in meeting.conflict_on if name not in [column.name for column in columns]]:
        raise InputError(
            "unknown_column",
            f"There is no column {', '.join(lacking)}, in which rows of one key are to be the same.",
            suggestion="Name columns of the dataset in conflict_on.",
        )


def other_keys(own: Sequence[str], asked: Sequence[str]) -> InputError:
    """What to say where the dataset has another key than the one asked for."""
    return InputError(
        "invalid_keys",
        f"The key of this dataset is {', '.join(own)}, not {', '.join(asked)}.",
        suggestion="Use its key, or give it another one with mode=replace.",
    )
