"""What every processor of rows can be asked for, whatever the format: how its rows meet those a dataset has."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Mode = Literal["append", "upsert", "replace"]
OnConflict = Literal["update", "skip", "replace"]


def _listed(given: object) -> object:
    if not isinstance(given, str):
        return given
    return json.loads(given) if given[:1] == "[" else [name.strip() for name in given.split(",")]


Names = Annotated[list[str], BeforeValidator(_listed)]
"""Names of columns; in a query also separated by commas."""


class RowOptions(BaseModel):
    """Options of processors that fill datasets; a format's own options extend these."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(
        "append", description="Add rows, match them with those there by `keys`, or replace all at the end."
    )
    keys: Names = Field([], max_length=16, description="Columns that name a row; the dataset keeps them as its key.")
    on_conflict: OnConflict = Field(
        "update",
        description="What a row does to one with its key: update the columns the file has, skip, or replace it whole.",
    )

    @model_validator(mode="after")
    def _keys_where_needed(self) -> RowOptions:
        if self.mode == "upsert" and not self.keys:
            raise ValueError('mode upsert needs keys, for example "keys": ["id"]')
        if self.mode == "append" and self.keys:
            raise ValueError("keys belong to mode upsert or replace")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("a column is named twice in keys")
        return self
