"""How a file was understood, and why, as JSON for people who look before they import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from workers.dialect import Dialect
from workers.evidence import Evidence
from workers.mapping import Names
from workers.reading import PLAIN_READING, Reading
from workers.shaping import Shape


def explained(
    file: Names,
    shape: Shape,
    dialect: Dialect | None = None,
    reading: Reading = PLAIN_READING,
    evidence: Iterable[Evidence] = (),
) -> dict[str, Any]:
    """What speaks for the columns' types, and how the file is cut. A type without `confidence` was given."""
    columns = {}
    for field in shape.fields:
        told = {} if field.evidence is None else field.evidence.as_json()
        source = None if field.source is None else file.written[field.source]
        columns[field.column.name] = {"source": source, "confidence": None, **told}
    said = None
    if dialect is not None:
        said = {
            **asdict(dialect),
            "delimiter": dialect.spelling or dialect.delimiter,
            "header": file.header is not None,
        }
        del said["spelling"]
    return {
        "dialect": said,
        "encoding": reading.encoding,
        "compression": reading.compression,
        "evidence": [asdict(entry) for entry in evidence],
        "columns": columns,
    }
