"""Moments as Takeout's HTML writes them: in the medium form of the account's language, then perhaps a time zone.

One file is in one language, so the language is settled once, by the texts themselves; see `locales.tsv`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\u061c"))
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u202f\u2009\t"), " ")
_FORMS = {
    "y": r"(?P<year>\d{4})",
    "M": r"(?P<month>\d{1,2})",
    "d": r"(?P<day>\d{1,2})",
    "H": r"(?P<hour>\d{1,2})",
    "h": r"(?P<hour>\d{1,2})",
    "m": r"(?P<minute>\d{2})",
    "s": r"(?P<second>\d{2})",
    "a": r"(?P<period>\D{1,12}?)",
}
_TOKEN = re.compile(r"'([^']*)'|(MMM|[yMdHhmsaB])\2*|(.)", re.DOTALL)


def since_1970(at: datetime) -> int:
    """Whole seconds, of a moment with its zone."""
    return (at - EPOCH) // SECOND


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on the clock of its zone, which is as the text names it, None where it does not."""

    at: datetime
    zone: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """How the locales of one line of the table write a moment."""

    locales: tuple[str, ...]
    form: re.Pattern[str]
    months: dict[str, int]
    before_noon: frozenset[str]
    after_noon: frozenset[str]

    def read(self, text: str) -> Moment | None:
        """The moment of a plain text, None if this is not how these locales write one."""
        if not (found := self.form.fullmatch(text)):
            return None
        year, day, hour_text, minute, second, zone = found.group("year", "day", "hour", "minute", "second", "zone")
        if zone and _is_period(zone):
            return None  # half a day, not a zone: another language's time
        month = _month(self, found["name"]) if self.names_months else int(found["month"])
        hour = int(hour_text)
        if self.has_halves:
            word = _bare(found["period"])
            if not 1 <= hour <= 12 or (word not in self.before_noon and word not in self.after_noon):
                return None
            hour = hour % 12 + (12 if word in self.after_noon else 0)
        try:
            at = datetime(int(year), month, int(day), hour, int(minute), int(second))
        except ValueError:
            return None
        return Moment(at, zone)

    @property
    def has_halves(self) -> bool:
        """Whether its hours are those of half a day."""
        return "period" in self.form.groupindex

    @property
    def names_months(self) -> bool:
        """Whether its months are words."""
        return "name" in self.form.groupindex


def plain(text: str) -> str:
    """Without direction marks, with plain blanks and ASCII digits."""
    if text.isascii():
        return text.strip()
    text = text.translate(_MARKS).translate(_BLANKS).strip()
    return "".join(str(int(c)) if c.isdecimal() and not c.isascii() else c for c in text)


def language_of(texts: Iterable[str]) -> Language | None:
    """The language in which most of these moments (as `plain` gives them) are written; None if none reads any.

    Several languages may write alike: then they agree on what is meant, or the first of them is as good as another.
    """
    texts = list(texts)
    most, best = 0, None
    for language in languages():
        if (count := sum(language.read(text) is not None for text in texts)) > most:
            most, best = count, language
        if most == len(texts):
            break
    return best


def read(text: str, language: Language) -> Moment | None:
    """The moment of a text, first tried in this language."""
    text = plain(text)
    if found := language.read(text):
        return found
    return next((found for other in languages() if (found := other.read(text))), None)


@cache
def languages() -> tuple[Language, ...]:
    """All that CLDR knows."""
    lines = (files(__package__) / "locales.tsv").read_text("utf-8").splitlines()
    return tuple(_language(*line.split("\t")) for line in lines[2:])


@lru_cache(4096)
def _month(language: Language, name: str) -> int:
    """0, which no date has, for an unknown name. "Sept" and "Sep" are one month, whatever the table's year."""
    word = _bare(name)
    if word in language.months:
        return language.months[word]
    near = {number for known, number in language.months.items() if len(word) > 2 < len(known) and _alike(word, known)}
    return near.pop() if len(near) == 1 else 0


@lru_cache(1024)
def _is_period(zone: str) -> bool:
    return _bare(zone.split()[0]) in _periods()


@cache
def _periods() -> frozenset[str]:
    return frozenset().union(*(language.before_noon | language.after_noon for language in languages())) - {""}


def _language(locales: str, pattern: str, months: str, before_noon: str, after_noon: str) -> Language:
    names = [plain(name) for name in months.split("|")] if months else []
    return Language(
        tuple(locales.split()),
        _form(pattern, names),
        {_bare(name): number for number, name in enumerate(names, start=1)},
        frozenset(_bare(word) for word in before_noon.split("|")),
        frozenset(_bare(word) for word in after_noon.split("|")),
    )


def _form(pattern: str, months: list[str]) -> re.Pattern[str]:
    """A CLDR pattern as a regular expression, generous where Takeout is loose: blanks, commas and dots."""
    parts = []
    for quoted, field, other in _TOKEN.findall(plain(pattern)):
        if field == "MMM":
            # A name of another year's table has no digits and no blanks; those of this one may ("thg 3", "3-р сар").
            known = "|".join("".join(map(_loose, name)) for name in sorted(months, key=len, reverse=True))
            parts.append(rf"(?P<name>{known}|[^\d\s]{{1,20}}?)\.?")
        elif field:
            parts.append(_FORMS["a" if field == "B" else field])
        else:
            parts.append("".join(_loose(character) for character in quoted or other))
    return re.compile("".join(parts) + r"(?:\s+(?P<zone>\S.{0,40}))?", re.IGNORECASE)


def _loose(character: str) -> str:
    if character.isspace():
        return r"\s*"
    if character in ",،.":
        return "[,،]?" if character != "." else r"\.?"
    return re.escape(character)


@lru_cache(1024)
def _bare(word: str) -> str:
    return re.sub(r"[\s.]", "", word).casefold()


def _alike(word: str, known: str) -> bool:
    return word.startswith(known) or known.startswith(word)
