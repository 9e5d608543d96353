"""A file that came inside an imported one, such as a deck's picture: an upload, which a dataset shows by a name."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Attachment:
    """As stored. Of several with one name in a dataset, the one that the newest job has brought is shown."""

    name: str
    job_id: UUID
    upload_id: UUID
    size_bytes: int
    sha256: bytes
    media_type: str | None


def is_plain(name: str) -> bool:
    """Whether it is one ordinary file name: no folder, no drive, nothing that cannot be shown."""
    if not name or name in (".", "..") or set(name) & set("/\\:") or not name.isprintable():
        return False
    return len(name.encode("utf-8", "replace")) <= NAME_BYTES
