"""What a processor's child is asked to do, as `workers.child` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.config import Settings
from service.domain.dataset import columns_to_json
from service.store.claims import Claim
from service.store.ranges import Range
from workers.inputs import Input

Request = dict[str, object]


def chunks(
    claim: Claim, file: Input, settings: Settings, taken: Range | None = None, widens: Mapping[str, Any] | None = None
) -> Request:
    """The chunks behind the job's checkpoint; of a range, those between its own and its end."""
    return {
        "processor": claim.processor,
        "job_id": str(claim.job_id),
        "total": file.size_bytes,
        "options": claim.options,
        "cursor": claim.cursor if taken is None else taken.cursor,
        "columns": None if claim.columns is None else columns_to_json(claim.columns),
        "chunk_bytes": settings.chunk_bytes,
        "stop": None if taken is None else taken.stop,
        "cut_bytes": None,
        "widens": widens,
    }


def cuts(claim: Claim, file: Input, settings: Settings, uncut: Range) -> Request:
    """Where the range can be cut."""
    return chunks(claim, file, settings, uncut) | {"cut_bytes": settings.range_bytes}
