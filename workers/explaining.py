"""How a file was understood, and why, as JSON for people who look before they import."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from workers.dialect import Dialect
from workers.mapping import Names
from workers.shaping import Shape


def explained(file: Names, shape: Shape, dialect: Dialect | None = None) -> dict[str, Any]:
    """What speaks for the columns' types, and how the file is cut. A type without `confidence` was given."""
    columns = {}
    for field in shape.fields:
        told = {} if field.evidence is None else field.evidence.as_json()
        source = None if field.source is None else file.written[field.source]
        columns[field.column.name] = {"source": source, "confidence": None, **told}
    said = None if dialect is None else {**asdict(dialect), "header": file.header is not None}
    return {"dialect": said, "encoding": "utf-8", "compression": None, "evidence": [], "columns": columns}
