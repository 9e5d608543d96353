"""What a child tells of a chunk that is only looked at: counts, the first rows and rejects, never a payload."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from service.domain.chunk import Chunk, Column, ColumnType
from service.domain.dataset import columns_to_json
from workers.frames import head

ROWS = 20
"""Rows and rejects that are shown of each kind."""
VALUES = 5
"""Different values that are shown of a column."""
SHOWN_CHARACTERS = 200


def frame(chunk: Chunk) -> Iterator[bytes]:
    """The chunk as a frame; the first one has evidence."""
    yield head(
        "preview",
        columns=columns_to_json(chunk.columns),
        read=chunk.read,
        inserted=chunk.batch.num_rows,
        rejected=len(chunk.rejects),
        brings=chunk.brings,
        done=chunk.done,
        rows=_rows(chunk),
        rejects=[asdict(reject) for reject in chunk.rejects[:ROWS]],
        header=chunk.header,
        evidence=chunk.evidence,
        values=None if chunk.evidence is None else _values(chunk),
    )


def _rows(chunk: Chunk) -> list[dict[str, Any]]:
    refused = {reject.row for reject in chunk.rejects}
    numbers = [n for n in range(chunk.first_row, chunk.first_row + min(chunk.read, ROWS * 50)) if n not in refused]
    rows = chunk.batch.slice(0, min(ROWS, len(numbers))).to_pylist()
    return [
        {"_row": number, **{column.name: _plain(row[column.name], column) for column in chunk.columns}}
        for number, row in zip(numbers, rows, strict=False)
    ]


def _values(chunk: Chunk) -> dict[str, list[Any]]:
    """A few different values of each column."""
    found = {}
    for column in chunk.columns:
        few = chunk.batch.column(column.name).slice(0, 1_000).unique().drop_null()[:VALUES].to_pylist()
        found[column.name] = [_plain(value, column) for value in few]
    return found


def _plain(value: Any, column: Column) -> Any:
    """A value as the rows of a dataset show it."""
    match value:
        case bytes():
            return str(UUID(bytes=value))
        case Decimal():
            return int(value) if value == value.to_integral_value() and not column.scale else float(value)
        case datetime() | date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case str() if column.type is ColumnType.JSONB:
            return json.loads(value)
        case str():
            return value[:SHOWN_CHARACTERS]
    return value
