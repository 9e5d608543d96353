"""What every processor of rows can be asked for, whatever the format: how its rows meet those a dataset has."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.domain.tolerance import MaxRejects


class RowOptions(BaseModel):
    """Options of processors that fill datasets; a format's own options extend these."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["append"] = "append"
    max_rejects: MaxRejects | None = Field(
        None, description='Stop once more rows than this are refused: a number, or a share of the rows such as "5%".'
    )
