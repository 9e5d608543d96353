"""Which dialect a text is in, by the shape and the types of what each candidate makes of its first records.

Not csv.Sniffer, which a 72 KB file can keep busy for ten seconds: every candidate costs one pass over the sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from workers.dialect import Dialect
from workers.evidence import Evidence
from workers.quoting import quoted
from workers.trials import Sample, Trial, respelled, trial, usual_width

STAND_INS = "\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x0e\x0f"
"""Characters that may stand for a delimiter of several while it is read."""

_USUAL = {",": 1.0, "\t": 1.0, ";": 1.0, "|": 1.0, "^": 0.9, "~": 0.9, "\x01": 1.0, "\x1f": 1.0, "\x1e": 1.0}
_SPACED = {", ": 1.01, "; ": 1.01}
_DOUBLE = {"||": 1.15, "::": 0.9}
"""Tried where the single one seldom stands alone."""
_UNUSUAL = {"¦": 0.9, "§": 0.9, ":": 0.62, " ": 0.55, "#": 0.6, "!": 0.6, "$": 0.6, "*": 0.6, "/": 0.4, "@": 0.4}
_LEAST = 0.1
"""Below this a text has one column."""


def dialect_of(sample: Sample, given: Dialect, fixed: frozenset[str]) -> tuple[Dialect, list[Evidence]]:
    """The dialect, and why. What is `fixed`, by the names of Dialect's fields, is as `given`."""
    trials = sorted(_trials(sample, given, fixed), key=lambda tried: -tried.score)
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
            yield trial(sample, replace(dialect, quote=quote), weight if quote != "'" else weight * 0.97)


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
    if opening <= 1 or closing >= 0.25 * opening:
        return dialect
    with_it, plain = trial(sample, dialect, 1.0), trial(sample, replace(dialect, quote=None), 1.0)
    closes = quoted(data, dialect).closes
    is_open = sample.at_end and len(closes) > 0 and int(closes[-1]) == len(data)
    if plain.evenness > with_it.evenness or (is_open and plain.evenness == 1.0):
        return plain.dialect
    return dialect


def _escape(sample: Sample, dialect: Dialect) -> Dialect:
    """A backslash, if records are more even with it, or quotes inside fields stand behind one."""
    if b"\\" not in sample.data:
        return dialect
    escaped = replace(dialect, escape="\\")
    without, with_it = trial(sample, dialect, 1.0), trial(sample, escaped, 1.0)
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
