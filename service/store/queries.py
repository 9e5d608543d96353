"""Named SQL statements: `-- name: claim` in sql/queries/job.sql is `load("job")["claim"]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(table: str, folder: str = "queries") -> Mapping[str, str]:
    """Read sql/queries/<table>.sql into statements by name.

    Those in sql/templates have parts in braces, for tables and columns whose names only a dataset knows.
    """
    text = (files("sql") / folder / f"{table}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}
