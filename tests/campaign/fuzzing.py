"""Damages the samples of a processor and has its real child read them, under its real limits, many to a child.

The samples are `tests/samples/<processor>/*`, so a new format is fuzzed without being named here. What is packed is
also unpacked, damaged inside and packed again, for damage outside mostly ends at a check sum. Of every file is held: it
is read, or refused with a code and a suggestion; nothing crashes, hangs or passes a limit; every chunk adds up; what is
read behind any cursor is what was read there before; and PostgreSQL takes the rows.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import re
import warnings
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import zstandard

from service.config import Settings
from service.domain.attachment import is_plain
from service.domain.chunk import TooNarrow
from service.domain.errors import InputError
from workers.frames import Frame
from workers.sandbox import ProcessorCrashed, Sandbox, Sandboxes

SAMPLES = Path(__file__).parents[1] / "samples"
FINDINGS = Path("build/fuzzed")
SEED_BYTES = 200_000
"""Larger samples are not damaged: the same faults show in small ones, sooner."""
PER_CHILD = 250
SILENT_S = 90
"""Longer than any of these small files may keep a child silent, on however busy a machine."""
CPU_S = 15
"""Processor time that one small file may take."""
RESIDENT_BYTES = 600 * 1024 * 1024
"""Memory that a child may come to hold over small files."""
CHUNK_BYTES = (64, 700, 6 * 1024 * 1024)
JOB = UUID(int=7)
HEADER_BYTES, TRAILER_BYTES = 19, 2
"""Of a binary COPY stream; what is between are rows."""

MARKS = (
    *(b'"', b"'", b"\\", b"\n", b"\r", b"\r\n", b",", b";", b"\t", b"|", b"||", b"#", b"=", b" ", b"-", b"."),
    *(
        b"\0",
        b"\xff",
        b"\xe9",
        b"\x1f",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"9" * 40,
        b"1e999",
        b"NaN",
        b"0x1F",
        b"\xf0\x9f",
    ),
    *(b"[", b"]", b"{", b"}", b"{}", b"[]", b":", b"null", b"<", b">", b"</", b"<!--", b"&#0;", b"&amp;", b"\\ud800"),
    *(b"2024-02-30", b"0000-00-00", b"99999-01-01", b"24:60", b"-1", b"\x7f\xff\xff\xff", b"\x80" * 9, b"'); --"),
)

Accepts = Callable[[Sequence[Any], bytes], Awaitable[None]]
"""Stores a binary COPY stream of these columns, with the lineage in front, or raises."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A file that is read rightly, and with which options."""

    name: str
    data: bytes
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file, and how it is read; everything in it follows from `seed` and `number`."""

    number: int
    sample: str
    data: bytes
    options: dict[str, Any]
    chunk_bytes: int
    widens: bool
    resumes: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What a case did that none may do; `path` holds the file."""

    case: Case
    what: str
    path: Path

    def __str__(self) -> str:
        case = self.case
        how = f"options {case.options}, chunk_bytes {case.chunk_bytes}, widens {case.widens}"
        return f"{self.path} (from {case.sample}, case {case.number}; {how}): {self.what}"


@dataclass(slots=True)
class Tally:
    """What became of the files."""

    read: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    rows: int = 0
    rejects: int = 0
    peak_bytes: int = 0
    most_cpu_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        refused = ", ".join(f"{count} {code}" for code, count in sorted(self.refused.items(), key=lambda e: -e[1]))
        return (
            f"{self.read} read ({self.rows} rows, {self.rejects} rejects; {self.resumed} once more from a cursor), "
            f"refused: {refused or 'none'}; peak {self.peak_bytes >> 20} MiB, longest {self.most_cpu_s:.2f} CPU s"
        )


def samples(processor: str) -> list[Sample]:
    """The samples of a processor that are small enough."""
    found = []
    for path in sorted((SAMPLES / processor).iterdir()):
        expected = path.with_name(path.name + ".expected.json")
        if expected.exists() and path.stat().st_size <= SEED_BYTES:
            found.append(Sample(path.name, path.read_bytes(), json.loads(expected.read_text()).get("options", {})))
    return found


def case(processor: str, seeds: Sequence[Sample], seed: int, number: int) -> Case:
    """The damaged file of this number."""
    dice = random.Random(f"{processor} {seed} {number}")
    sample = dice.choice(seeds)
    others = [other.data for other in seeds]
    data = damaged(sample.data, others, dice)
    options = sample.options if dice.random() < 0.8 else {}
    chunk_bytes = dice.choice(CHUNK_BYTES)
    return Case(number, sample.name, data, options, chunk_bytes, dice.random() < 0.3, dice.random() < 0.25)


async def fuzz(
    processor: str, settings: Settings, folder: Path, seed: int, numbers: range, accepts: Accepts, most: int = 20
) -> Tally:
    """Have these cases read, until all are or so many have done what none may do."""
    seeds, tally = samples(processor), Tally()
    assert seeds
    place = folder / "damaged"
    async with Sandboxes(settings) as sandboxes:
        left = list(numbers)
        while left and len(tally.findings) < most:
            async with _reader(sandboxes, processor, place) as reader:
                for _ in range(min(PER_CHILD, len(left))):
                    one = case(processor, seeds, seed, left.pop(0))
                    if not await _look(reader, one, accepts, tally, processor, seed):
                        break  # this child is of no use any more
    return tally


async def _look(reader: _Reader, one: Case, accepts: Accepts, tally: Tally, processor: str, seed: int) -> bool:
    """Whether the child can go on."""
    goes_on = True
    started = reader.cpu_s()
    try:
        told = await reader.read(one)
        await _held(reader, one, told, accepts, tally)
    except ProcessorCrashed as error:
        _found(tally, one, str(error), processor, seed)
        goes_on = reader.is_alive()
    except Broken as error:
        _found(tally, one, str(error), processor, seed)
        goes_on = error.goes_on
    if goes_on:
        tally.most_cpu_s = max(tally.most_cpu_s, spent := reader.cpu_s() - started)
        tally.peak_bytes = max(tally.peak_bytes, peak := reader.resident_bytes())
        if spent > CPU_S:
            _found(tally, one, f"took {spent:.1f} s of processor time", processor, seed)
        if peak > RESIDENT_BYTES:
            _found(tally, one, f"took {peak >> 20} MiB of memory", processor, seed)
            return False
    return goes_on


async def _held(reader: _Reader, one: Case, told: Told, accepts: Accepts, tally: Tally) -> None:
    if told.refusal is not None:
        if told.refusal.code in ("too_much_memory", "too_much_cpu", "no_progress"):
            raise Broken(f"passed a limit: {told.refusal.code}", goes_on=told.refusal.code == "too_much_memory")
        if not (told.refusal.code and told.refusal.message and told.refusal.suggestion):
            raise Broken(f"refused without a suggestion: {told.refusal.code}")
        tally.refused[told.refusal.code] = tally.refused.get(told.refusal.code, 0) + 1
    tally.read += told.refusal is None and not told.widened
    tally.rows += sum(chunk.frame.fields["inserted"] for chunk in told.chunks)
    tally.rejects += sum(len(chunk.frame.fields["rejects"]) for chunk in told.chunks)
    done = 0
    for chunk in told.chunks:
        fields = chunk.frame.fields
        if fields["inserted"] + len(fields["rejects"]) != fields["read"]:
            raise Broken("a chunk does not add up")
        if not done <= fields["done"] <= len(one.data):
            raise Broken(f"progress goes from {done} to {fields['done']} of {len(one.data)}")
        if any("\0" in json.dumps(reject, ensure_ascii=False) for reject in fields["rejects"]):
            raise Broken("a reject holds what PostgreSQL cannot store")
        done = fields["done"]
    if one.resumes and told.chunks:
        try:
            for chunk in told.chunks[:3]:
                await accepts(chunk.frame.fields["columns"], chunk.payload)
        except Exception as error:
            raise Broken(f"PostgreSQL does not take the rows: {error}") from error
        middle = told.chunks[one.number % len(told.chunks)]
        again = await reader.read(one, middle)
        rest = told.chunks[told.chunks.index(middle) + 1 :]
        if told.refusal is None and not told.widened and again.content() != Told(rest).content():
            raise Broken(f"what is behind cursor {middle.frame.fields['cursor']} is not read the same again")
        tally.resumed += 1


def _found(tally: Tally, one: Case, what: str, processor: str, seed: int) -> None:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{processor}-{seed}-{one.number}"
    path.write_bytes(one.data)
    tally.findings.append(Finding(one, what, path))


class Broken(Exception):
    """A case did what none may do. `goes_on` tells whether its child is still of use."""

    def __init__(self, what: str, *, goes_on: bool = True) -> None:
        super().__init__(what)
        self.goes_on = goes_on


@dataclass(frozen=True, slots=True, eq=False)
class Chunked:
    """A chunk as the child told it, with its rows as a binary COPY stream."""

    frame: Frame
    payload: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """All that a child said of a file."""

    chunks: list[Chunked]
    refusal: InputError | None = None
    widened: bool = False

    def content(self) -> tuple[bytes, list[Any]]:
        """The rows and the rejects, however they were cut into chunks."""
        rows = b"".join(c.payload[HEADER_BYTES:-TRAILER_BYTES] for c in self.chunks if c.payload)
        return rows, [reject for chunk in self.chunks for reject in chunk.frame.fields["rejects"]]


class _Reader:
    """One child that reads file after file, each written to the same place."""

    def __init__(self, sandbox: Sandbox, processor: str, source: dict[str, object]) -> None:
        self._sandbox = sandbox
        self._processor = processor
        self._source = source
        self._process = psutil.Process(sandbox.pid)

    async def read(self, one: Case, behind: Chunked | None = None) -> Told:
        """Everything, or what is behind a chunk. Raises ProcessorCrashed, Broken."""
        Path(str(self._source["path"])).write_bytes(one.data)
        self._source["size"] = len(one.data)
        self._sandbox.ask(request(self._processor, one, behind))
        chunks: list[Chunked] = []
        try:
            async for frame in self._sandbox.frames():
                if frame.kind == "enclosed":
                    await self._check_enclosed(frame)
                    continue
                chunks.append(Chunked(frame, await self._payload(frame)))
        except InputError as error:
            return Told(chunks, refusal=error)
        except TooNarrow:
            return Told(chunks, widened=True)
        return Told(chunks)

    async def _check_enclosed(self, frame: Frame) -> None:
        content = b"".join([piece async for piece in self._sandbox.content()])
        told = (frame.fields["size_bytes"], frame.fields["sha256"])
        if (len(content), hashlib.sha256(content).hexdigest()) != told or not is_plain(frame.fields["name"]):
            raise Broken(f"a file inside is not what it is said to be: {frame.fields['name']!r}")

    async def _payload(self, frame: Frame) -> bytes:
        payload = await self._sandbox.payload(frame)
        try:
            return b"".join([piece async for piece in payload.over(None)])  # type: ignore[arg-type]
        finally:
            payload.free()

    def is_alive(self) -> bool:
        return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE

    def cpu_s(self) -> float:
        if not self.is_alive():
            return 0.0
        times = self._process.cpu_times()
        return times.user + times.system

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self._sandbox.pid}/status")
        if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            return int(found[1]) * 1024
        return self._process.memory_info().rss


@asynccontextmanager
async def _reader(sandboxes: Sandboxes, processor: str, place: Path) -> AsyncIterator[_Reader]:
    source: dict[str, object] = {"path": str(place), "size": 0, "key": None}
    async with AsyncExitStack() as stack:
        child = await stack.enter_async_context(sandboxes.open(source, None, SILENT_S))
        yield _Reader(child, processor, source)


def request(processor: str, one: Case, behind: Chunked | None) -> dict[str, Any]:
    """What the child is asked; behind a chunk, as the runner would."""
    fields = None if behind is None else behind.frame.fields
    return {
        "processor": processor,
        "job_id": str(JOB),
        "total": len(one.data),
        "options": one.options,
        "cursor": None if fields is None else fields["cursor"],
        "columns": None if fields is None else fields["columns"],
        "chunk_bytes": one.chunk_bytes if behind is None else CHUNK_BYTES[-1],
        "stop": None,
        "cut_bytes": None,
        "widens": {"types": [], "steps": {}, "misfits": {}} if one.widens and behind is None else None,
    }


def damaged(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """The file with a few faults: in its bytes, or, where it is packed, mostly in what is inside."""
    if dice.random() < 0.8 and (inside := _inside(data, others, dice)) is not None:
        return inside
    return _bytes_damaged(data, others, dice)


def _bytes_damaged(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        data = _DAMAGES[dice.randrange(len(_DAMAGES))](data, others, dice)
    return data


def _cut_out(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    start = dice.randrange(len(data) + 1)
    return data[:start] + data[start + dice.choice((1, 2, 7, 40, 500)) :]


def _cut_off(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _marked(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(MARKS) * dice.choice((1, 1, 1, 2, 50, 1000)) + data[at:]


def _flipped(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 4, 30))):
        if changed:
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _spliced(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others)
    start = dice.randrange(len(other) + 1)
    at = dice.randrange(len(data) + 1)
    return data[:at] + other[start : start + dice.choice((10, 200, 5000))] + data[at:]


def _doubled(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    start = dice.randrange(len(data) + 1)
    piece = data[start : start + dice.choice((1, 5, 60, 700))]
    return data[:start] + piece * dice.choice((2, 2, 3, 30)) + data[start:]


def _swapped(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        one, two = dice.randrange(len(lines)), dice.randrange(len(lines))
        lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def _number_changed(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", data[:50_000]))
    if not found:
        return data
    one = dice.choice(found)
    new = dice.choice((b"0", b"-1", b"00", b"1.5", b"9" * 20, b"1e400", b"", b"2147483648", b"1,5", b"0x10"))
    return data[: one.start()] + new + data[one.end() :]


_DAMAGES = (_cut_out, _cut_off, _marked, _marked, _flipped, _flipped, _spliced, _doubled, _swapped, _number_changed)


def _inside(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes | None:
    """Packed content unpacked, damaged and packed again; None for what is not packed, or not that we know of."""
    for mark, unpack, pack in _PACKED:
        if data.startswith(mark):
            try:
                return pack(damaged(unpack(data), others, dice))
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError):
                return None
    return _zip_damaged(data, others, dice) if data.startswith(b"PK\x03\x04") else None


_PACKED: tuple[tuple[bytes, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress, lambda data: gzip.compress(data, 1, mtime=0)),
    (b"BZh", bz2.decompress, bz2.compress),
    (b"\xfd7zXZ\0", lzma.decompress, lzma.compress),
    (
        b"\x28\xb5\x2f\xfd",
        lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        lambda data: zstandard.ZstdCompressor(level=1).compress(data),
    ),
)


def _zip_damaged(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError):
        return None
    if not members:
        return None
    at = dice.randrange(len(members))
    info, content = members[at]
    match dice.randrange(12):
        case 0:
            del members[at]
        case 1:
            members.append((info, content))
        case 2:
            members[at] = (zipfile.ZipInfo(info.filename + "x"), content)
        case _:
            members[at] = (info, damaged(content, [*others, dice.choice(members)[1]], dice))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice is meant
        for known, written in members:
            name = zipfile.ZipInfo(known.filename)
            archive.writestr(name, written, known.compress_type if known.compress_type in (0, 8) else 8)
    return out.getvalue()
