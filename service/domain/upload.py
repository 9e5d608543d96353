"""An upload: one complete, immutable file in storage, with its size and SHA-256."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

NAME_LIMIT = 255

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as stored. `name` is a label, never a path.

    `seal` opens its file, see `service.files.port`; since `damaged_at` that is not what came, and is not read again.
    Since `expired_at` it has no file any more, for a reason: `retention`, or `lost` when the file was found missing.
    """

    id: UUID
    account_id: UUID
    name: str
    size_bytes: int
    sha256: bytes
    media_type: str | None
    created_at: datetime
    expired_at: datetime | None
    expired_reason: str | None
    seal: bytes | None = None
    damaged_at: datetime | None = None


def label(name: str | None) -> str:
    """Make a user's name fit to show: last path part, no control or direction marks, at most 255 characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    return _CONTROL.sub("", last).strip()[:NAME_LIMIT] or "unnamed"
