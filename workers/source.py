"""Opens what a child process reads. It has no network and writes nothing: a sealed file is opened as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from service.files.frames import Frames, damaged
from service.files.reading import SealedFile


def open_source(spec: Mapping[str, Any]) -> BinaryIO:
    """The file that `Files.source` has told of, to be read and sought in. `read(n)` falls short only at the end.

    Raises InputError `upload_damaged`, here or by any read: what is stored is not what was written.
    """
    path, size_bytes = Path(spec["path"]), int(spec["size"])
    if spec["key"] is None:
        if path.stat().st_size != size_bytes:
            raise damaged()
        return cast(BinaryIO, path.open("rb", buffering=0))  # a raw file reads like a buffered one
    frames = Frames(UUID(spec["upload_id"]), bytes.fromhex(spec["key"]), packed=spec["packed"])
    return cast(BinaryIO, SealedFile(path, frames, size_bytes))
