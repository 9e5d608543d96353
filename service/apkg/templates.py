"""Anki's templates, just far enough to tell which cards a note has: those whose question shows something."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_SECTION = re.compile(r"\{\{([#^])([^{}]+)\}\}((?:(?!\{\{[#^]).)*?)\{\{/\2\}\}", re.DOTALL)
_FIELD = re.compile(r"\{\{(?![#^/])(?:[^{}:]+:)*([^{}:]+)\}\}")
_CLOZE_NUMBERS = re.compile(r"\{\{c(\d{1,3}(?:,\d{1,3})*)::")
DEPTH = 20


def shows(question: str, values: Mapping[str, str]) -> bool:
    """Whether the question of a template has anything of these fields in it."""
    for _ in range(DEPTH):
        reduced = _SECTION.sub(lambda found: _section(found, values), question)
        if reduced == question:
            break
        question = reduced
    return any(values.get(name.strip(), "").strip() for name in _FIELD.findall(question))


def needed(question: str, fields: Sequence[str]) -> list[int]:
    """Numbers of the fields that a question shows, one of which has to be filled; older Anki goes by that."""
    names = {name.strip() for name in _FIELD.findall(question)}
    return [at for at, name in enumerate(fields) if name in names] or [0]


def cloze_cards(values: Sequence[str]) -> list[int]:
    """Numbers, from 0, of the cards that the clozes of a note make; one at least."""
    found = {int(n) for value in values for marks in _CLOZE_NUMBERS.findall(value) for n in marks.split(",")}
    return sorted(number - 1 for number in found if number) or [0]


def _section(found: re.Match[str], values: Mapping[str, str]) -> str:
    is_filled = bool(values.get(found[2].strip(), "").strip())
    return found[3] if is_filled == (found[1] == "#") else ""
