"""Which dialect a text is in, by the shape and the types of what each candidate makes of its first records.

Not csv.Sniffer, which a 72 KB file can keep busy for ten seconds: every candidate costs one pass over the sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from workers.dialect import Dialect
from workers.evidence import Evidence
from workers.records import Records, Source, boundary, quoted, records

SAMPLE_BYTES = 192 * 1024
"""How much text the candidates are tried on."""
CELLS = 1_200
"""Cells whose looks are weighed for one candidate."""
TABLE = 0.4
"""The share of records that makes a table of them."""
STAND_INS = "\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x0e\x0f"
"""Characters that may stand for a delimiter of several while it is read."""

_USUAL = {",": 1.0, "\t": 1.0, ";": 1.0, "|": 1.0, "^": 0.9, "~": 0.9, "\x01": 1.0, "\x1f": 1.0, "\x1e": 1.0}
_SPACED = {", ": 1.01, "; ": 1.01}
_DOUBLE = {"||": 1.15, "::": 0.9}
"""Tried where the single one seldom stands alone."""
_UNUSUAL = {"¦": 0.9, "§": 0.9, ":": 0.62, " ": 0.55, "#": 0.6, "!": 0.6, "$": 0.6, "*": 0.6, "/": 0.4, "@": 0.4}
_SURE = 0.8
"""Marks below this weight have to look better than others."""
_LEAST = 0.1
"""Below this a text has one column."""

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


def dialect_of(sample: Sample, given: Dialect, fixed: frozenset[str]) -> tuple[Dialect, list[Evidence]]:
    """The dialect, and why. What is `fixed`, by the names of Dialect's fields, is as `given`."""
    trials = sorted(_trials(sample, given, fixed), key=lambda trial: -trial.score)
    best = trials[0]
    if "delimiter" not in fixed and best.score < _LEAST:
        best = _single(sample, given, trials)
    second = next((t for t in trials if _written(t.dialect) != _written(best.dialect)), None)
    found = best.dialect
    if "delimiter" not in fixed:
        found = _doubled(sample, found)
    if "quote" not in fixed:
        found = _quote(sample, found)
    if "escape" not in fixed:
        found = _escape(sample, found)
    if "comment" not in fixed:
        found = _comment(sample, found)
    return found, _evidence(found, best, second, fixed)


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


def _trials(sample: Sample, given: Dialect, fixed: frozenset[str]) -> Iterator[Trial]:
    if "delimiter" in fixed:
        candidates = [(given, 1.0)]
    else:
        candidates = [
            (_spelled(sample, replace(given, delimiter=mark)), weight)
            for mark, weight in (_USUAL | _SPACED | _DOUBLE | _UNUSUAL).items()
            if mark.encode() in sample.data and (mark not in _DOUBLE or _share(sample, mark[0]) > 0.7)
        ] or [(given, 1.0)]
    quotes = [given.quote] if "quote" in fixed else _quotes(sample)
    for dialect, weight in candidates:
        for quote in quotes:
            yield _trial(sample, replace(dialect, quote=quote), weight if quote != "'" else weight * 0.97)


def _quotes(sample: Sample) -> list[str | None]:
    edges = re.search(
        rb"(?:\A|[\n,;\t|^~:\x01\x1f])'(?:[^'\n]++|'')*+'(?=[\r\n,;\t|^~:\x01\x1f]|\Z)", sample.data[: 64 * 1024]
    )
    return ['"', "'"] if edges else ['"']


def _spelled(sample: Sample, dialect: Dialect) -> Dialect:
    mark = dialect.delimiter
    if len(mark) == 1 and mark.isascii():
        return dialect
    free = next((c for c in STAND_INS if c.encode() not in sample.data), STAND_INS[0])
    return replace(dialect, delimiter=free, spelling=mark)


def _written(dialect: Dialect) -> str:
    return dialect.spelling or dialect.delimiter


def _trial(sample: Sample, dialect: Dialect, weight: float) -> Trial:
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
    if weight < _SURE and (above or not is_clear or _is_one_value(data, found)):
        return Trial(dialect, 1, 0.0, 0.0, weight)  # a sentence, a date or a time rather than several fields
    return Trial(dialect, width, share, looks, weight)


def _is_one_value(data: bytes, found: Records) -> bool:
    """Whether most records are typed as they stand."""
    spans = list(zip(found.starts[:50].tolist(), found.ends[:50].tolist(), strict=True))
    typed = sum(bool(_TYPED.fullmatch(data[a:b].decode(errors="replace"))) for a, b in spans)
    return typed > len(spans) / 2


def usual_width(found: Records) -> int:
    """The most frequent number of fields; of several the one that comes first.

    Lines of one field may be notes around a table.
    """
    widths, counts = np.unique(found.widths, return_counts=True)
    if widths[0] == 1 and len(widths) > 1 and counts[1:].max() >= TABLE * len(found):
        widths, counts = widths[1:], counts[1:]
    most = widths[counts == counts.max()]
    return int(found.widths[np.isin(found.widths, most)][0])


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


def _single(sample: Sample, given: Dialect, trials: list[Trial]) -> Trial:
    """One column: the first delimiter that the text does not have, or else the best that cuts something."""
    for mark in _USUAL:
        if mark.encode() not in sample.data:
            return Trial(replace(given, delimiter=mark), 1, 1.0, 0.5, 1.0)
    return trials[0]


def _share(sample: Sample, mark: str) -> float:
    """How many of these stand in pairs."""
    single = mark.encode()
    return sample.data.count(2 * single) * 2 / max(sample.data.count(single), 1)


def _doubled(sample: Sample, dialect: Dialect) -> Dialect:
    """The same delimiter, doubled, if it never stands alone, and not only around one empty column."""
    if dialect.spelling is not None or dialect.delimiter == " " or _share(sample, dialect.delimiter) != 1:
        return dialect
    found = sample.records(dialect)
    if len(found) == 0 or usual_width(found) < 5:
        return dialect
    return _spelled(sample, replace(dialect, delimiter=2 * dialect.delimiter))


def _quote(sample: Sample, dialect: Dialect) -> Dialect:
    """No quoting where quotes at the start of fields do not close at an end, and the text is more even without."""
    quote = (dialect.quote or '"').encode()
    if dialect.quote is None or quote not in sample.data:
        return dialect
    data = respelled(sample.data, dialect)
    mark = re.escape(dialect.delimiter.encode())
    opening = len(re.findall(rb"(?:\A|(?<=[\n\r]|" + mark + rb"))" + quote, data))
    closing = len(re.findall(quote + rb"(?=[\r\n]|" + mark + rb"|\Z)", data))
    with_it, plain = _trial(sample, dialect, 1.0), _trial(sample, replace(dialect, quote=None), 1.0)
    _, closes = quoted(data, dialect)
    is_open = sample.at_end and len(closes) > 0 and int(closes[-1]) == len(data)
    if (
        opening > 1
        and closing < 0.25 * opening
        and (plain.evenness > with_it.evenness or (is_open and plain.evenness == 1.0))
    ):
        return plain.dialect
    return dialect


def _escape(sample: Sample, dialect: Dialect) -> Dialect:
    """A backslash, if records are more even with it, or quotes inside fields stand behind one."""
    if b"\\" not in sample.data:
        return dialect
    escaped = replace(dialect, escape="\\")
    without, with_it = _trial(sample, dialect, 1.0), _trial(sample, escaped, 1.0)
    if with_it.width >= 2 and with_it.width == without.width and with_it.evenness > without.evenness:
        return escaped
    if dialect.quote is None or (with_it.evenness < without.evenness and without.width > 1):
        return dialect
    data = respelled(sample.data, dialect)
    ends = rb"[\r\n" + re.escape(dialect.delimiter.encode()) + rb"]"
    quote = dialect.quote.encode()
    inner = len(re.findall(rb"(?<!\\)\\" + quote + rb"(?!" + quote + rb"|" + ends + rb"|\Z)", data))
    last = len(re.findall(rb"(?<!\\)\\" + quote + rb"(?=" + ends + rb"|\Z)", data))
    return escaped if inner > last else dialect


def _comment(sample: Sample, dialect: Dialect) -> Dialect:
    """A hash, if lines that begin with it do not have the width of the others."""
    data = respelled(sample.data, dialect)
    if dialect.delimiter == "#" or not (data.startswith(b"#") or b"\n#" in data):
        return dialect
    found = Sample(data, sample.at_end).records(dialect)
    octets = np.frombuffer(data, np.uint8)
    remarks = octets[found.starts] == ord("#")
    if not remarks.any() or remarks.all():
        return dialect
    others = found.widths[~remarks]
    widths, counts = np.unique(others, return_counts=True)
    width = int(widths[counts.argmax()])
    # A first line "#id,name" is a header, and "#1" in a column of one is a value.
    odd = found.widths[remarks] != width
    is_remark = bool(odd.all()) if width > 1 else bool(remarks[: int(remarks.sum())].all())
    return replace(dialect, comment="#") if is_remark else dialect


def _evidence(found: Dialect, best: Trial, second: Trial | None, fixed: frozenset[str]) -> list[Evidence]:
    lead = best.score - second.score if second else best.score
    sure = round(min(1.0, 0.5 + lead) * (best.evenness if best.width > 1 else 0.6), 2)
    why = f"{best.evenness:.0%} of the records have {best.width} fields" if best.width > 1 else "nothing cuts it evenly"
    others = (_written(second.dialect),) if second and second.score > 0.1 else ()
    entries = [
        Evidence("delimiter", _written(found), sure, why, others),
        Evidence("quote", found.quote or "", sure, "fields begin and end with it" if found.quote else "never closed"),
        Evidence("escape", found.escape or "", sure, "what makes records even"),
        Evidence("comment", found.comment or "", sure, "lines of another width"),
    ]
    return [replace(e, confidence=1.0, why="given") if e.subject in fixed else e for e in entries]
