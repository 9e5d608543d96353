"""What a caller can say about one column of a dataset: where its text comes from, how it is changed, what must hold.

The text of a cell is changed in this order: `trim`, `split`, `replace`, `case`, `nulls`, `default`. Then it is read as
the column's type, and what was read is checked.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from service.domain.chunk import ColumnType
from service.domain.dataset import NAME_PATTERN
from service.domain.naming import plain_name

MOST_VALUES = 1_000
LONGEST = 10_000
MOST_DECIMALS = 37

NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.BIGINT, ColumnType.DOUBLE, ColumnType.NUMERIC})
TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ})


def _as_text(given: Any) -> Any:
    """A JSON scalar as a file would write it."""
    if isinstance(given, bool):
        return "true" if given else "false"
    return str(given) if isinstance(given, int | float) else given


def _as_name(given: Any) -> Any:
    if isinstance(given, str) and (not given or plain_name(given) != given):
        raise ValueError(f"{given!r} cannot name a column; {plain_name(given) or 'column_1'!r} can")
    return given


Text = Annotated[str, BeforeValidator(_as_text), StringConstraints(max_length=LONGEST)]
"""Text; numbers and booleans of JSON are taken as they are written."""
ColumnName = Annotated[str, BeforeValidator(_as_name), StringConstraints(min_length=1)]
"""A dataset's column: lower-case letters, digits and underscores, at most 63 bytes."""


class Part(BaseModel):
    """Strict models that are shown by the names callers use."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Split(Part):
    """One part of a text that is cut at each `by`."""

    by: str = Field(min_length=1, max_length=100, description="What stands between the parts.")
    part: int = Field(description="Which one: 1 is the first, -1 the last. Null where there are fewer.")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.part == 0 or abs(self.part) > 1_000:
            raise ValueError("part counts from 1, or from -1 at the end, to 1,000")
        return self


class Replacement(Part):
    """A text in place of another one. No patterns: characters stand for themselves."""

    old: str = Field(alias="from", min_length=1, max_length=LONGEST, description="What is looked for.")
    new: str = Field(alias="to", max_length=LONGEST, description="What comes in its place.")
    whole: bool = Field(False, description="Only where it is the whole text, not a part of it.")


class Reference(Part):
    """A column of a dataset of the same account."""

    dataset: str = Field(pattern=NAME_PATTERN)
    column: ColumnName


class ColumnSpec(Part):
    """One column of the dataset."""

    name: ColumnName = Field(description="What the dataset calls it.")
    source: str | None = Field(
        None, alias="from", description="The file's column, as its header writes it or by the name it would get."
    )
    type: ColumnType | None = Field(None, description="Found out where left out; a given one never widens.")
    scale: int | None = Field(None, ge=0, le=MOST_DECIMALS, description="Decimals that a numeric column keeps.")
    trim: bool = Field(False, description="Without white space at both ends.")
    split: Split | None = Field(None, description="One part of the text.")
    replace: list[Replacement] = Field([], max_length=MOST_VALUES, description="Done one after the other.")
    case: Literal["lower", "upper", "title"] | None = Field(None, description="How letters are written.")
    nulls: list[Text] = Field([], max_length=MOST_VALUES, description="Texts that mean: no value.")
    default: Text | None = Field(None, description="In place of empty cells and of no value.")
    constant: Text | None = Field(None, description="The same value in each row; needs no column in the file.")
    required: bool = Field(False, description="No value, or an empty text, is a fault: missing_value.")
    unique: bool = Field(
        False, description="A value that the dataset or an earlier row of the file has is a fault: duplicate_value."
    )
    min: Text | None = Field(None, description="Smallest number, or earliest date or time.")
    max: Text | None = Field(None, description="Largest number, or latest date or time.")
    min_length: int | None = Field(None, ge=0, description="Fewest characters of a text.")
    max_length: int | None = Field(None, ge=0, description="Most characters of a text.")
    values: list[Text] | None = Field(
        None, min_length=1, max_length=MOST_VALUES, description="The values there may be: else not_in_values."
    )
    references: Reference | None = Field(
        None, description="Each value must be in that column when its row is stored: else unknown_reference."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scale is not None and self.type is not ColumnType.NUMERIC:
            raise ValueError('scale is for columns of "type": "numeric" only')
        if self.constant is not None and self.source is not None:
            raise ValueError("a constant column comes from no column of the file: leave out either")
        if self.type is not None:
            self._fits_type(self.type)
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ValueError("min_length is above max_length")
        return self

    def _fits_type(self, kind: ColumnType) -> None:
        if (self.min_length is not None or self.max_length is not None) and kind is not ColumnType.TEXT:
            raise ValueError(f"min_length and max_length are for text columns, and this one is {kind}")
        for word in ("min", "max"):
            bound = getattr(self, word)
            if bound is not None and not _is_bound(kind, bound):
                raise ValueError(f"{word} {bound!r} is no limit for a column of type {kind}")


def _is_bound(kind: ColumnType, text: str) -> bool:
    try:
        if kind in NUMBERS:
            return Decimal(text).is_finite()
        if kind is ColumnType.DATE:
            date.fromisoformat(text)
        elif kind in TIMES:
            datetime.fromisoformat(text)
        else:
            return False
    except (ValueError, InvalidOperation):
        return False
    return True
