"""How delimited text is written: what separates fields, what quotes and escapes them, which lines are remarks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

Ragged = Literal["reject", "pad"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`delimiter`, `quote` and `escape` are one ASCII character each, `comment` begins a line that is no record.

    A quote opens only at the start of a field and is doubled inside. An escape takes the meaning from a delimiter,
    quote, line end or escape behind it; in front of anything else it is an ordinary character. `ragged` says what
    becomes of a record with too few fields: refused, or filled up with nothing. `spelling` is how the file writes the
    delimiter where that is not one ASCII character; the reading puts `delimiter` in its place.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    comment: str | None = None
    ragged: Ragged = "reject"
    spelling: str | None = None

    def dumped(self) -> str:
        """As text for a cursor."""
        return json.dumps(asdict(self))

    @staticmethod
    def loaded(text: str) -> Dialect:
        """From a cursor."""
        return Dialect(**json.loads(text))


COMMA = Dialect()
