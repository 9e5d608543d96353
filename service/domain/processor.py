"""The processor contract: what turns an input into chunks of typed rows, or does some other long work.

A processor that reads a file is an async generator of chunks. It knows nothing of HTTP, SQL, queues or retries; it runs
in a limited child process, and whatever it yields is committed by the runner. It is resumed by being called again with
the cursor of the last committed chunk, and must then yield exactly the rows that would have come next, with their
numbers; where it cuts them into chunks is its own affair.

A processor that reads no file is an async generator of reports. It runs in the worker's own event loop and must only
await there, never compute for long. It is resumed with the cursor of its last stored report.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from service.domain.chunk import Chunk, Column, Cursor, Widens
from service.domain.errors import InputError, faults_of
from service.domain.glimpse import Recognises
from service.domain.job import DEFAULT_RETRY, Retry

Wanted = TypeVar("Wanted", bound=BaseModel)

PREVIEWS = "preview"
"""The queue of jobs that only look at a file: they have slots of their own, so that no long import holds them up."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a processor is given: a seekable binary file, checked options, and where to go on.

    `columns` is None until the dataset has a shape: then infer one from the first chunk. Otherwise yield exactly
    these columns in this order. `chunk_bytes` is how much input one chunk should take. With `widens`, the processor may
    raise TooNarrow, and is then called anew; None where the dataset's types stay. `explains` asks for evidence in the
    first chunk.
    """

    source: BinaryIO
    total: int
    options: BaseModel
    cursor: Cursor | None
    columns: tuple[Column, ...] | None
    chunk_bytes: int
    widens: Widens | None = None
    explains: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an input can be cut in two: a record starts at byte `offset`, its number is `row`, `cursor` stands there.

    What is read up to there and what is read from there must be what is read in one go, numbers included.
    """

    offset: int
    row: int
    cursor: Cursor


ExportFormat = Literal["csv", "ndjson", "parquet", "apkg"]

MEDIA_TYPES: Mapping[ExportFormat, str] = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "apkg": "application/x-apkg",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a dataset on its way out, and how many rows have gone out whole since the piece before."""

    content: bytes
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """A new upload, complete and durable. `sha256` is in hexadecimal."""

    upload_id: UUID
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Videos that were just looked up: those that are there and those that are not; how many are left to ask for."""

    available: int
    unavailable: int
    left: int


class Videos(Protocol):
    """The videos of a watch history, what is known of them for every account, and who can be asked about the others."""

    async def begin(self) -> int:
        """Note which videos are wanted; how many of them are not known. Raises NotFound, InputError: no history."""

    async def look_up(self) -> Looked:
        """Ask about some of them. Raises Deferred, Transient, InputError."""

    async def statistics(self, tz: str) -> Mapping[str, Any]:
        """What the history adds up to, by the clock of a zone. Raises InputError."""


class Stores(Protocol):
    """The datasets and uploads of a job's own account."""

    def rows(self, dataset: str, wanted: ExportFormat, *, as_is: bool) -> AsyncGenerator[Piece, None]:
        """The rows of a dataset as of one moment; CSV without formulas unless `as_is`.

        Raises NotFound, InputError: it has no columns yet.
        """

    async def save(self, name: str, media_type: str, content: AsyncIterable[bytes]) -> Saved:
        """Store content as a new upload. Raises InputError: it is empty, or too large; Transient: no space."""

    async def take_back(self, job_id: UUID, cursor: Cursor | None) -> Report:
        """Take back some more of what a job has stored, with the cursor behind that; the last report has the output.

        Raises NotFound, StateError: it cannot be undone; Occupied: another job writes there; LeaseLost.
        """

    def videos(self, dataset: str) -> Videos:
        """Those of the watch history in this dataset."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a processor that reads no file is given: its input as JSON, checked options, where to go on, and stores."""

    input: Mapping[str, Any]
    options: BaseModel
    cursor: Cursor | None
    stores: Stores

    def wanted(self, model: type[Wanted], suggestion: str) -> Wanted:
        """The input as this model. Raises InputError `invalid_input`."""
        try:
            return model.model_validate(self.input)
        except ValidationError as error:
            message = f"The input does not fit: {faults_of(error, 'input')}."
            raise InputError("invalid_input", message, suggestion=suggestion) from error


@dataclass(frozen=True, slots=True)
class Report:
    """How far a task is: `done` of `total` in the processor's unit, what it is at, and where it could go on.

    A report with an `output` is the last one; the job is completed with it.
    """

    done: int = 0
    total: int | None = None
    phase: str | None = None
    message: str | None = None
    cursor: Cursor | None = None
    output: Mapping[str, Any] | None = None


class NoOptions(BaseModel):
    """For processors that take none."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Following:
    """A processor whose job comes after one that read a file, and whether the user asked for that job."""

    processor: str
    is_asked_for: bool = False


@dataclass(frozen=True, slots=True)
class Processor:
    """A registered processor. `name` is the word in URLs and must equal the module's name.

    Either `chunks` reads a file into a dataset, or `run` works without a file. `suffixes` are those that files for it
    have, and `accepts` their kinds by first bytes, as `domain.filetype` names them; none means any. One whose file
    can be read from several places at once has `cuts` as well: such places behind the cursor, about so many bytes
    apart, in order. Work on the part before a place then gets a source that ends there. `recognises` says whether a
    file whose processor nobody names is for this one. `followed_by` names, by the options of a job, a processor that
    reads no file: a job of it, with the input `{dataset, job_id, look_up}`, waits for the end of each job of this one;
    `look_up` says whether it may ask anybody outside.
    """

    name: str
    title: str
    chunks: Callable[[Work], AsyncIterator[Chunk]] | None = None
    run: Callable[[Task], AsyncGenerator[Report, None]] | None = None
    cuts: Callable[[Work, int], Iterable[Cut]] | None = None
    recognises: Recognises | None = None
    followed_by: Callable[[Any], Following | None] | None = None
    options: type[BaseModel] = NoOptions
    queue: str = "cpu"
    unit: str = "bytes"
    suffixes: tuple[str, ...] = field(default=())
    accepts: tuple[str, ...] = field(default=())
    max_bytes: int | None = None
    retry: Retry = DEFAULT_RETRY

    def __post_init__(self) -> None:
        if (self.chunks is None) == (self.run is None):
            raise ValueError(f"processor {self.name} must have either chunks or run")

    @property
    def reads_file(self) -> bool:
        """Whether a job of it needs an upload and a dataset."""
        return self.chunks is not None
