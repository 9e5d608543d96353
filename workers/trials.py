"""What a dialect would make of a text: how even its first records are in it, and how their cells look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workers.dialect import Dialect
from workers.records import Records, Source, boundary, records

SAMPLE_BYTES = 192 * 1024
"""How much text the candidates are tried on."""
CELLS = 1_200
"""Cells whose looks are weighed for one candidate."""
TABLE = 0.4
"""The share of records that makes a table of them."""
SURE = 0.8
"""Marks below this weight have to look better than others."""

_TYPED = re.compile(
    r"[-+(]?[$€£¥]?[-+]?\d{1,3}(?:[,. ' ]\d{3})*(?:[.,]\d+)?(?:[eE][-+]?\d+)?[%)]?"
    r"|[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?"
    r"|\d{1,4}([-/.])\d{1,2}\1\d{1,4}"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?(?: ?[AaPp][Mm])?(?:Z|[+-]\d{2}:?\d{2})?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?i:true|false|yes|no|null|n/a|na|nan|none|-)"
    r"|(?:https?://|www\.)[^\s;|\t]+|[\w.+-]+@[\w-]+\.[\w.-]+"
)
_WORDS = re.compile(r"[^\W\d_][\w .'’()&/+%-]*")
_FOREIGN = re.compile(r"[\t;|\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Sample:
    """The start of a text, whole records as far as that can be told, and whether it is all there is."""

    data: bytes
    at_end: bool

    def records(self, dialect: Dialect) -> Records:
        """The records of the sample in a dialect; the last one, which may be cut, left out."""
        end = boundary(self.data, dialect, self.at_end) or len(self.data)
        return records(self.data[:end], dialect)


def sample_of(text: Source, offset: int) -> Sample:
    """The text from an offset on."""
    text.seek(offset)
    data = text.read(SAMPLE_BYTES + 1)
    return Sample(data[:SAMPLE_BYTES], len(data) <= SAMPLE_BYTES)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a dialect makes of a sample: the most frequent width, how many records have it, how their cells look."""

    dialect: Dialect
    width: int
    evenness: float
    looks: float
    weight: float

    @property
    def score(self) -> float:
        """From 0 to about 1; what cuts nothing has none."""
        if self.width < 2:
            return 0.0
        return self.evenness**2 * self.looks * self.weight * (1 - 0.5 / self.width)


def trial(sample: Sample, dialect: Dialect, weight: float) -> Trial:
    """What it is worth, were it that dialect."""
    data = respelled(sample.data, dialect)
    found = Sample(data, sample.at_end).records(dialect)
    width = usual_width(found) if len(found) else 0
    if width < 2:
        return Trial(dialect, width, 0.0, 0.0, weight)
    # What stands above the first even record may be a title.
    above = int(np.argmax(found.widths == width))
    even = found.widths[above:] == width
    share = float(even.mean()) * min(1.0, (len(even) + 1) / max(len(found) - len(even), 1))
    looks = _looks(data, found, dialect, width)
    if width == 2 and above == 1 and looks < 0.93:
        # "name" above "Doe, Jane" is no title above a table.
        return Trial(dialect, 1, 0.0, 0.0, weight)
    is_clear = looks >= 0.93 or (width > 2 and share > 0.95 and dialect.delimiter != " ")
    if weight < SURE and (above or not is_clear or _is_one_value(data, found)):
        return Trial(dialect, 1, 0.0, 0.0, weight)  # a sentence, a date or a time rather than several fields
    return Trial(dialect, width, share, looks, weight)


def usual_width(found: Records) -> int:
    """The most frequent number of fields; of several the one that comes first.

    Lines of one field may be notes around a table.
    """
    widths, counts = np.unique(found.widths, return_counts=True)
    if widths[0] == 1 and len(widths) > 1 and counts[1:].max() >= TABLE * len(found):
        widths, counts = widths[1:], counts[1:]
    most = widths[counts == counts.max()]
    return int(found.widths[np.isin(found.widths, most)][0])


def respelled(data: bytes, dialect: Dialect) -> bytes:
    """A sample with the delimiter in place of its spelling."""
    return data if dialect.spelling is None else data.replace(dialect.spelling.encode(), dialect.delimiter.encode())


def cells_of(data: bytes, found: Records, limit: int) -> Iterator[list[str]]:
    """The first records' cells as they are written."""
    for index in range(min(len(found), limit)):
        first, width = int(found.first[index]), int(found.widths[index])
        marks = found.marks[first : first + width - 1].tolist()
        starts = [int(found.starts[index]), *(mark + 1 for mark in marks)]
        ends = [*marks, int(found.ends[index])]
        yield [data[a:b].decode(errors="replace") for a, b in zip(starts, ends, strict=True)]


def bare(cell: str, dialect: Dialect) -> str:
    """A cell without the quotes around it."""
    quote = dialect.quote
    if quote and len(cell) > 1 and cell[0] == quote == cell[-1]:
        return cell[1:-1].replace(2 * quote, quote)
    return cell


def _is_one_value(data: bytes, found: Records) -> bool:
    """Whether most records are typed as they stand."""
    spans = list(zip(found.starts[:50].tolist(), found.ends[:50].tolist(), strict=True))
    typed = sum(bool(_TYPED.fullmatch(data[a:b].decode(errors="replace"))) for a, b in spans)
    return typed > len(spans) / 2


def _looks(data: bytes, found: Records, dialect: Dialect, width: int) -> float:
    """The mean look of the cells in records of the usual width, some from every part of the sample."""
    even = np.flatnonzero(found.widths == width)
    wanted = max(CELLS // width, 8)
    chosen = even[:: max(len(even) // wanted, 1)][:wanted]
    part = found.only(chosen)
    looks = [_look(cell, dialect) for row in cells_of(data, part, wanted) for cell in row[:200]]
    return sum(looks) / len(looks)


def _look(cell: str, dialect: Dialect) -> float:
    inner = bare(cell, dialect)
    text = inner[:200].strip(" ")
    if not text:
        return 0.85
    if _TYPED.fullmatch(text):
        return 1.0
    if len(inner) < len(cell):
        return 0.95
    if '"' in (text[0], text[-1]) or dialect.quote in (text[0], text[-1]):
        return 0.1
    if _FOREIGN.search(text):
        return 0.2
    if _WORDS.fullmatch(text):
        return 0.9 if cell[0] != " " else 0.85
    return 0.55 if "," in text else 0.7
