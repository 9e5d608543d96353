"""Which encoding bytes are in: marks first, then UTF-8 if it is valid, then how probable each text would be.

A text is probable if its letters belong to one language, stand beside letters and keep their case within a word.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

import numpy as np

from workers.alphabets import ALPHABETS, FREQUENT, MULTIBYTE, PUNCTUATION, SINGLE_BYTE
from workers.evidence import Evidence

SPOKEN_BYTES = 24 * 1024
"""How much text around bytes beyond ASCII is weighed."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_SPOKEN = re.compile(rb"[\x00-\x7f]{0,12}[\x80-\xff][^\n\r]{0,200}")
_SHIFTED = re.compile(rb"\x1b\$[@B]")


def encoding_of(samples: Iterable[bytes]) -> Evidence:
    """The encoding, by its Python name, of a text of which these are pieces, the first of them its start."""
    first, *others = samples
    for mark, name in _MARKS:
        if first.startswith(mark):
            return Evidence("encoding", name, 1.0, "byte order mark")
    if wide := _wide(first):
        return Evidence("encoding", wide, 0.95, "zero bytes in the places of one byte order")
    if _SHIFTED.search(first) and first.isascii():
        return Evidence("encoding", "iso2022_jp", 0.9, "escape sequences")
    samples = [first, *others]
    if all(sample.isascii() for sample in samples):
        return Evidence("encoding", "utf-8", 1.0, "ASCII only")
    right, wrong = map(sum, zip(*(_sequences(sample) for sample in samples), strict=True))
    if right and right >= wrong:
        return Evidence("encoding", "utf-8", right / (right + wrong), f"{right} characters of it, {wrong} wrong bytes")
    return _likeliest(_spoken(samples))


def _wide(first: bytes) -> str | None:
    if b"\0" not in first:
        return None
    zeros = [first[i : len(first) & ~3 : 4].count(0) / max(len(first) // 4, 1) for i in range(4)]
    # Text in one byte a character, with a few NULs in it, is no text in two.
    narrow = len(re.findall(rb"[\t\n\r -~]", first)) > 0.8 * (len(first) - first.count(0))
    few, many = 0.005, 0.3 if narrow else 0.02
    if len(first) >= 8 and min(zeros[2:]) > 0.95 and zeros[0] < few:
        return "utf-32-le"
    if len(first) >= 8 and min(zeros[:2]) > 0.95 and zeros[3] < few:
        return "utf-32-be"
    if sum(zeros[0::2]) < few and sum(zeros[1::2]) > many and _is_text(first, "utf-16-le"):
        return "utf-16-le"
    if sum(zeros[1::2]) < few and sum(zeros[0::2]) > many and _is_text(first, "utf-16-be"):
        return "utf-16-be"
    return None


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    return "\n" in text and not re.search(r"[\x00-\x08\x0e-\x1a\ufffe\uffff]", text)


def _sequences(sample: bytes) -> tuple[int, int]:
    """Characters of more than one byte, and bytes that belong to none. A sample may begin and end within one."""
    sample = sample.lstrip(bytes(range(0x80, 0xC0))) if sample[:1] > b"\x7f" else sample
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(sample)
        wrong = len(re.findall("[\udc80-\udcff]", text))
        return len(re.findall(r"[^\x00-\x7f]", text)) - wrong, wrong
    return int(np.count_nonzero(np.frombuffer(sample, np.uint8) >= 0xC0)), 0


def _spoken(samples: list[bytes]) -> bytes:
    share = SPOKEN_BYTES // len(samples)
    lines = []
    for sample in samples:
        size = 0
        for found in _SPOKEN.finditer(sample):
            lines.append(found[0])
            size += len(found[0])
            if size > share:
                break
    return b"\n".join(lines)


def _likeliest(spoken: bytes) -> Evidence:
    scores = {}
    for rank, name in enumerate((*SINGLE_BYTE, *MULTIBYTE)):
        text = spoken.decode(name, errors="replace")
        weigh = _weigh_wide if name in MULTIBYTE else _weigh
        # The order is from frequent to rare; it decides between those that read the same.
        scores[name] = weigh(text, spoken, name) - rank / 1000
    ranked = sorted(scores, key=lambda name: -scores[name])
    best, second = ranked[0], ranked[1]
    same = spoken.decode(best, errors="replace") == spoken.decode(second, errors="replace")
    lead = 1.0 if same else min((scores[best] - scores[second]) / 0.5, 1.0)
    sure = max(min(scores[best], 1.0), 0.1) * (0.6 + 0.4 * lead)
    return Evidence("encoding", best, round(sure, 2), "letters and words", tuple(ranked[1:4]))


def _weigh(text: str, spoken: bytes, name: str) -> float:
    """From about -3 to 2 a character beyond ASCII."""
    languages = ALPHABETS[name]
    total, count = 0.0, 0
    letters: dict[str, int] = {}
    for place, c in enumerate(text):
        if c < "\x80":
            continue
        count += 1
        before = text[place - 1] if place else " "
        after = text[place + 1] if place + 1 < len(text) else " "
        if c == "\ufffd" or "\x80" <= c <= "\x9f":
            total -= 4
        elif c.isalpha():
            letters[c] = letters.get(c, 0) + 1
            total += _in_word(before, c, after)
        elif before.isalpha() and after.isalpha() and c not in "’\xad" and (before, c, after) != ("l", "·", "l"):
            total -= 3
        elif c in PUNCTUATION:
            total += 0.6
        else:
            total -= 1
    total += max((_known(letters, language) for language in languages), default=0)
    return total / max(count, 1)


def _in_word(before: str, c: str, after: str) -> float:
    weight = 0.0
    if before.isalpha():
        weight += 0.2
        if before.islower() and c.isupper():
            weight -= 2
        if (before < "\x80") != (c < "\u0250") and before > "\x7f":
            weight -= 1
        if before < "\x80" and c > "\u0250":
            weight -= 2
    elif not after.isalpha():
        weight -= 0.6
    if before.isdigit() or after.isdigit():
        weight -= 1
    if c.isupper() and after.islower() and before.isupper():
        weight -= 1
    if c > "\u0250" and "A" <= after <= "z":
        weight -= 1.5
    # Three letters of one Latin language beyond ASCII seldom stand side by side.
    if "\x7f" < before < "\u0250" and before.isalpha() and c < "\u0250" and "\x7f" < after < "\u0250":
        weight -= 1.6
    return weight


def _known(letters: dict[str, int], language: str) -> float:
    frequent = FREQUENT.get(language, "")
    total = 0.0
    for letter, times in letters.items():
        small = letter.lower()
        if small in frequent:
            total += 1.6 * times
        elif small in language:
            total += (0.6 if frequent else 1.4) * times
    return total


def _weigh_wide(text: str, spoken: bytes, name: str) -> float:
    likely, weights = MULTIBYTE[name]
    wrong = text.count("\ufffd")
    beyond = [c for c in text if c > "\x7f" and c != "\ufffd"]
    total = sum(weights.get(likely(c), -1.0) for c in beyond) - 4 * wrong
    return total / max(len(beyond) + wrong, 1)
