"""What a processor that reads a file yields: chunks of typed rows, what was refused of it, and what it stands at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Cursor = Mapping[str, int | str | None]
"""A processor's own resume position, as JSON. The runner stores it and never looks inside."""


class ColumnType(StrEnum):
    """The types of dataset columns, by their PostgreSQL names (`double` is `double precision`)."""

    INTEGER = "integer"
    BIGINT = "bigint"
    DOUBLE = "double"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    UUID = "uuid"
    TEXT = "text"
    JSONB = "jsonb"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset. `scale` is the number of decimals, of `numeric` only."""

    name: str
    type: ColumnType
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row. `column` is the dataset column at fault, None when the whole row is."""

    column: str | None
    code: str
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Reject:
    """An input row that was refused.

    `row` counts records from 1, the header left out; `line` is the physical line it starts on, from 1, everything
    counted. `column`, `code`, `message` and `suggestion` are those of its first fault; `faults` holds all of them where
    there are several. `raw` is the original text; `cut` says that it was cut to RAW_LIMIT characters. `cells` are its
    fields in the order of the file's own columns, where it could be cut into fields.
    """

    row: int
    line: int
    column: str | None
    code: str
    message: str
    suggestion: str
    raw: str
    faults: tuple[Fault, ...] = ()
    cells: tuple[str | None, ...] | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A file that is inside the input and is to be kept beside its rows, under a plain file name.

    `sha256` is in hexadecimal; `content` gives exactly `size_bytes` bytes, whenever it is called before the next chunk
    but one is asked for. It must not be empty.
    """

    name: str
    size_bytes: int
    sha256: str
    content: Callable[[], Iterator[bytes]] = field(compare=False)
    media_type: str | None = None


RAW_LIMIT = 65_536
"""Enough to correct a row and send it back."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are committed together with the cursor behind them.

    The rows read are numbered `first_row … first_row + read - 1`. `batch` holds the accepted ones in input order,
    so that `batch.num_rows + len(rejects) == read`; their numbers are those no reject claims. `batch` has one field
    per entry of `columns`, typed as `workers.columns.arrow_type` says; it may have no rows. `columns` is the same in
    every chunk of a job. `done` is how far into `Work.total` the cursor stands. `header` is what the file calls its
    columns, or what they are called here where it does not, in their order; the first chunk of a file has it at least.
    `brings` are those of `columns` that the file has values for, the same in every chunk, None for all: an upsert
    leaves the others as they are. `evidence` is how the file was understood, and why, where that was asked for.
    `enclosed` are files that become attachments of the dataset with these rows, each once by its content. `remarks` are
    sentences that the job's output keeps: for what several things the file may mean one was taken.
    """

    columns: tuple[Column, ...]
    batch: pa.RecordBatch
    first_row: int
    read: int
    cursor: Cursor
    done: int
    rejects: tuple[Reject, ...] = ()
    header: tuple[str, ...] | None = None
    brings: tuple[str, ...] | None = None
    evidence: Mapping[str, Any] | None = None
    enclosed: tuple[Enclosed, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Widening:
    """A column whose type turned out too narrow, what it should be, and the cell that says so.

    `steps` counts the types between.
    """

    old: Column
    new: Column
    row: int
    text: str
    steps: int = 1


class TooNarrow(Exception):
    """Types that were found out do not hold what the file goes on with: start over with wider ones."""

    def __init__(self, widenings: tuple[Widening, ...]) -> None:
        super().__init__(", ".join(w.new.name for w in widenings))
        self.widenings = widenings


@dataclass(frozen=True, slots=True)
class Widens:
    """That types which are found out may turn out too narrow.

    `types` are columns as they were widened so far, `steps` how often, `misfits` the rows so far whose first fault is
    that this column's cell does not fit it.
    """

    types: Mapping[str, Column] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    misfits: Mapping[str, int] = field(default_factory=dict)
