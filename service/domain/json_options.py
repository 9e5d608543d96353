"""What can be asked of every format whose rows are JSON objects."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.domain.row_options import RowOptions


class JsonOptions(RowOptions):
    """Options of `json` and `ndjson`."""

    nested: Literal["jsonb", "flatten"] = Field(
        "jsonb", description='What becomes of objects in a row: one column, or {"a": {"b": 1}} a column a_b.'
    )
    extra_keys: Literal["reject", "ignore"] = Field(
        "reject", description="What becomes of a row with keys that are no columns: refused, or these keys left out."
    )
    member: str | None = Field(None, description="The file to read in a zip archive.")
