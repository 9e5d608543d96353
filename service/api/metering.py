"""What an API process counts of itself, for /metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Meters:
    """Since the process began."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By method and status."""
    upload_bytes: int = 0
