"""What every processor of rows can be asked for, whatever the format: what its columns are, and how its rows meet
those a dataset has.

A list or object that comes as a query parameter is JSON, or, for a list of words, these words between commas.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from service.domain.chunk import ColumnType
from service.domain.column_spec import ColumnName, ColumnSpec
from service.domain.tolerance import MaxRejects

MOST_COLUMNS = 1_590
"""PostgreSQL allows 1,600 columns in a table; the rest is kept for lineage."""

Mode = Literal["append", "upsert", "replace"]
OnConflict = Literal["update", "skip", "replace", "newer"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """What becomes of a row that meets one with its key.

    `newer` goes by the column `newer_by`. In the columns `conflict_on`, rows of one key must be the same.
    """

    on_conflict: OnConflict
    newer_by: str | None = None
    conflict_on: tuple[str, ...] = ()


class RowOptions(BaseModel):
    """Options of processors that fill datasets; a format's own options extend these."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(
        "append", description="Add rows, match them with those there by `keys`, or replace all at the end."
    )
    keys: list[str] = Field(
        [], max_length=16, description="Columns that name a row; the dataset keeps them as its key."
    )
    on_conflict: OnConflict = Field(
        "update",
        description="What a row does to one with its key: update the columns the file has, skip, replace it whole, "
        "or update it only if it is newer, by the column `newer_by`.",
    )
    newer_by: str | None = Field(None, description="The column that says which of two rows is newer.")
    conflict_on: list[str] = Field(
        [],
        max_length=16,
        description="Columns that are the same in rows of one key; one that differs there is left out, and noted.",
    )
    columns: list[ColumnSpec] = Field([], max_length=MOST_COLUMNS, description="What is to be said about columns.")
    others: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of the file's columns that `columns` does not name."
    )
    types: dict[ColumnName, ColumnType] = Field(
        {}, description='Types of columns by name, such as {"id": "text"}; the others are found out.'
    )
    rename: dict[str, ColumnName] = Field(
        {}, description="New names of the file's columns, by how the header writes them or the name they would get."
    )
    drop: list[str] = Field([], description="Columns of the file that are left out.")
    max_rejects: MaxRejects | None = Field(
        None, description='Stop once more rows than this are refused: a number, or a share of the rows such as "5%".'
    )

    @model_validator(mode="before")
    @classmethod
    def _read_from_query(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: _read(cls.model_fields.get(name), value) for name, value in given.items()}

    @model_validator(mode="after")
    def _keys_where_needed(self) -> Self:
        if self.mode == "upsert" and not self.keys:
            raise ValueError('mode upsert needs keys, for example "keys": ["id"]')
        if self.mode == "append" and self.keys:
            raise ValueError("keys belong to mode upsert or replace")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("a column is named twice in keys")
        return self

    @model_validator(mode="after")
    def _age_where_needed(self) -> Self:
        if self.on_conflict == "newer" and self.newer_by is None:
            raise ValueError('on_conflict newer needs newer_by, for example "newer_by": "modified_at"')
        return self

    @property
    def meeting(self) -> Meeting | None:
        """What becomes of a row that meets one with its key; None: it is refused."""
        if self.mode == "append":
            return None
        return Meeting(self.on_conflict, self.newer_by, tuple(self.conflict_on))

    @model_validator(mode="after")
    def _names_each_column_once(self) -> Self:
        twice = _repeated([column.name for column in self.columns] + list(self.rename.values()))
        if twice:
            raise ValueError(f"two columns are to be called {twice!r}")
        for column in self.columns:
            if column.type is not None and self.types.get(column.name, column.type) is not column.type:
                raise ValueError(f"types and columns give {column.name!r} different types")
        return self


class FixedColumns(RowOptions):
    """Options of formats that always give the same columns, so that nothing can be asked of them."""

    @model_validator(mode="after")
    def _leaves_columns_alone(self) -> Self:
        for name in ("columns", "types", "rename", "drop", "others"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: this format always gives the same columns")
        return self


def _read(field: FieldInfo | None, value: Any) -> Any:
    """A list or object out of text, if the option is one."""
    kinds = () if field is None else _kinds(field.annotation)
    if not isinstance(value, str) or not (list in kinds or dict in kinds):
        return value
    if value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # told as what it is not: a list or object
    return [word for word in value.split(",") if word] if list in kinds else value


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The plain types of an annotation: those of a union, without what they hold."""
    origin = get_origin(annotation)
    if origin in (list, dict, tuple, set):
        return (list if origin in (tuple, set) else origin,)
    return tuple(kind for part in get_args(annotation) for kind in _kinds(part)) or (annotation,)


def _repeated(names: list[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
