"""A JSON document: its array, one that is named inside it, or its one object, into typed rows.

The document is read as a stream; the reading itself is in `workers.documents`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from service.domain.json_options import JsonOptions
from service.domain.processor import Chunk, Processor, Work


class DocumentOptions(JsonOptions):
    """Without a path the document itself is the array, or the one row."""

    path: str = Field(
        "",
        max_length=2_000,
        description="Where the array is: keys with dots between, or a pointer such as /data/items.",
    )

    @property
    def keys_to_it(self) -> tuple[str, ...]:
        """The keys of the path; in a pointer (RFC 6901) a key may have dots too."""
        if self.path.startswith("/"):
            return tuple(key.replace("~1", "/").replace("~0", "~") for key in self.path[1:].split("/"))
        return tuple(self.path.split(".")) if self.path else ()


async def chunks(work: Work) -> AsyncIterator[Chunk]:
    """Elements as typed batches. Raises InputError from where on the file is not JSON."""
    # Only the child process that reads a file pays for pyarrow.
    from workers.documents import read

    options = DocumentOptions.model_validate(work.options.model_dump())
    for chunk in read(work, options, options.keys_to_it):
        yield chunk


processor = Processor(
    name="json",
    title="A JSON document: an array, one inside it, or an object",
    chunks=chunks,
    options=DocumentOptions,
    queue="cpu",
    suffixes=(".json", ".geojson"),
    accepts=("text", "binary", "gzip", "zip", "zstd", "bzip2", "xz"),
)
