"""Real files beside the checkout; a test that needs one is skipped where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def corpus_file(name: str) -> Path:
    """One of the real files, named as in the manifest."""
    if not (path := CORPUS / name).exists():
        pytest.skip(f"needs ../shared/corpus/{name}")
    return path
