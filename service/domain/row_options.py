"""What every processor of rows can be asked for, whatever the format: how its rows meet those a dataset has."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class RowOptions(BaseModel):
    """Options of processors that fill datasets; a format's own options extend these."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["append"] = "append"
