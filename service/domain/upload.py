"""An upload: one file, from its creation on; once complete it is immutable, with its size and SHA-256."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

NAME_LIMIT = 255

Protocol = Literal["raw", "multipart", "tus", "resumable", "job", "url"]
"""How it came: in one request, by tus, by the IETF's resumable uploads, written by a job, or fetched."""

Status = Literal["receiving", "uploaded", "processing", "completed", "failed", "abandoned"]
"""What has become of it, mostly through the jobs that read it."""

STATUSES: tuple[Status, ...] = get_args(Status)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as stored. `name` is a label, never a path.

    While `is_receiving`, `received_bytes` of it are durable, and `size_bytes` is None until its client has told it.
    `seal` opens its file, see `service.files.port`; since `damaged_at` that is not what came, and is not read again.
    Since `expired_at` it has no file any more, for a reason: `retention`, `lost` when the file was found missing,
    `unfinished` when its client stayed away, `deleted`, `joined` into another upload, or `refused` with a `problem`.
    """

    id: UUID
    account_id: UUID
    name: str
    size_bytes: int | None
    sha256: bytes | None
    media_type: str | None
    created_at: datetime
    expired_at: datetime | None
    expired_reason: str | None
    state: Literal["receiving", "complete"] = "complete"
    status: Status = "uploaded"
    protocol: Protocol = "raw"
    received_bytes: int = 0
    writer: int = 0
    is_open: bool = False
    expires_at: datetime | None = None
    metadata: str | None = None
    concat: str | None = None
    digests: Mapping[str, str] | None = None
    wanted: Mapping[str, Any] | None = None
    kind: str | None = None
    duplicate_of: UUID | None = None
    problem: Mapping[str, str] | None = None
    removed_at: datetime | None = None
    jobs: tuple[Mapping[str, Any], ...] = ()
    seal: bytes | None = None
    damaged_at: datetime | None = None

    @property
    def is_receiving(self) -> bool:
        """Whether more of it is to come."""
        return self.state == "receiving" and self.expired_at is None

    @property
    def is_partial(self) -> bool:
        """Whether it is but a part of an upload to be, by tus concatenation."""
        return self.concat == "partial"

    @property
    def has_all(self) -> bool:
        """Whether every byte that its client spoke of has come."""
        return self.size_bytes is not None and self.received_bytes == self.size_bytes


def label(name: str | None) -> str:
    """Make a user's name fit to show: last path part, no control or direction marks, at most 255 characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    return _CONTROL.sub("", last).strip()[:NAME_LIMIT] or "unnamed"


def suffix_of(name: str) -> str:
    """The last suffix with its dot, in lower case; empty if there is none."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and dot and suffix else ""
