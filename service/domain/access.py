"""What those may do who come with a key: its role."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a key, and each session that was opened with it, may do."""

    VIEWER = "viewer"
    """Sees all that the account has, and changes nothing."""
    OPERATOR = "operator"
    """Acts."""
