"""Fields of notes, which are HTML: as plain text, the media they name, and their clozes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

_SILENT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(r"<(?:br|/?div|/?p|/?li|/?tr|/?h[1-6]|/?ul|/?ol)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SOUND = re.compile(r"\[sound:([^\]\n]{1,255})\]")
_SOURCE = re.compile(
    r"""<(?:img|audio|video|source|object)\b[^>]*?\b(?:src|data)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""",
    re.IGNORECASE,
)
_OPEN = re.compile(r"\{\{c(\d{1,3}(?:,\d{1,3})*)::")
_STYLE_URL = re.compile(r"url\(([^)\n]{1,300})\)", re.IGNORECASE)
_MEASURE = re.compile(r":(\w+)=")
CLOZE_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Cloze:
    """A hidden part: the numbers of its cards, its text and its hint."""

    numbers: tuple[int, ...]
    text: str
    hint: str | None


def plain(html: str) -> str:
    """What a reader sees of a field: no tags, entities resolved, a line for each line."""
    if "<" not in html and "&" not in html:
        return _tidy(_SOUND.sub("", html))
    text = _SILENT.sub("", html)
    text = _BREAK.sub("\n", text)
    return _tidy(_SOUND.sub("", unescape(_TAG.sub("", text))))


def media(html: str) -> list[str]:
    """Names of the files that a field shows or plays, each once, addresses elsewhere left out."""
    names = [unescape(name) for name in _SOUND.findall(html)]
    names += [unquote(unescape("".join(found))) for found in _SOURCE.findall(html)]
    return list(dict.fromkeys(name for name in names if name and "://" not in name and not name.startswith("data:")))


def media_of_css(css: str) -> list[str]:
    """Names of the files that a style sheet uses."""
    names = (unquote(name.strip("\"' ")) for name in _STYLE_URL.findall(css))
    return list(dict.fromkeys(name for name in names if name and ":" not in name))


def occlusions(text: str) -> list[dict[str, object]]:
    """The shapes over an image: for each, the cards that ask for it, what it is, and its measures as written."""
    found = []
    for cloze in clozes(text):
        _, marked, said = cloze.text.partition("image-occlusion:")
        if marked:
            shape, *measures = _MEASURE.split(said)
            pairs = zip(measures[0::2], measures[1::2], strict=True)
            found.append({"cards": [n for n in cloze.numbers if n], "shape": shape, **dict(pairs)})
    return found


def clozes(text: str) -> Iterator[Cloze]:
    """The hidden parts of a text, outer ones first; what is not closed is no cloze."""
    open_: list[tuple[int, int, tuple[int, ...]]] = []
    found: list[tuple[int, Cloze]] = []
    at = 0
    while at < len(text):
        opening = _OPEN.match(text, at) if text.startswith("{{c", at) else None
        if opening and len(open_) < CLOZE_DEPTH:
            open_.append((at, opening.end(), tuple(int(number) for number in opening[1].split(","))))
            at = opening.end()
        elif open_ and text.startswith("}}", at):
            start, inside, numbers = open_.pop()
            content, _, hint = uncovered(text[inside:at]).partition("::")
            found.append((start, Cloze(numbers, content, hint or None)))
            at += 2
        else:
            at += 1
    return (cloze for _, cloze in sorted(found, key=lambda item: item[0]))


def uncovered(text: str) -> str:
    """A text with its inner clozes shown; hints of the outermost level are left as they are."""
    previous = None
    while previous != text:
        previous = text
        text = re.sub(
            r"\{\{c[\d,]+::((?:(?!\{\{c[\d,]+::|\}\}).)*?)(?:::(?:(?!\}\}).)*)?\}\}", r"\1", text, flags=re.DOTALL
        )
    return text


def _tidy(text: str) -> str:
    lines = (line.strip() for line in text.replace("\u00a0", " ").replace("\0", "").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
