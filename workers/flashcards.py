"""Flashcards as people export them from Quizlet: terms and definitions with two separators, without quotes or escapes.

Nothing in the text says which separators were chosen, so either the caller does, or nearly all rows must have two
parts; where several choices would do as well, it is asked rather than guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.chunk import Fault
from service.domain.errors import InputError
from workers.evidence import Evidence
from workers.grid import Grid, Line
from workers.mapping import Names

NEEDED_SHARE = 0.95
SIZE_LIMIT = 64 * 1024 * 1024
"""A set of cards is in memory as a whole; the largest that Quizlet takes have some thousand."""
CANDIDATES = (
    ("\t", "\n"),
    ("\t", "\n\n"),
    ("\t", ";"),
    (" - ", "\n"),
    (" – ", "\n"),
    ("::", "\n"),
    (",", "\n"),
    (",", ";"),
    (":", "\n"),
    ("=", "\n"),
)


@dataclass(frozen=True, slots=True)
class Separators:
    """What stands between term and definition, and between rows."""

    term: str
    row: str

    def shown(self) -> str:
        """For a message."""
        return f"{_shown(self.term)} between term and definition, {_shown(self.row)} between rows"


def grid_of(text: str, term: str | None, row: str | None) -> tuple[Grid, Separators]:
    """The cards of a text. Raises InputError where the separators cannot be told."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    found = Separators(unescaped(term), unescaped(row)) if term and row else detected(plain, term, row)

    def lines(skip: int) -> Iterator[Line]:
        for number, line in enumerate(_lines(plain, found)):
            if number >= skip:
                yield line

    total = sum(1 for _ in _lines(plain, found))
    names = Names(("front", "back"), ("term", "definition"))
    return Grid(names, lines, total, evidence=_evidence(plain, found, bool(term and row))), found


def detected(text: str, term: str | None, row: str | None) -> Separators:
    """The separators with which nearly all rows have two parts. Raises InputError, with what could be meant."""
    choices = [
        Separators(unescaped(term) if term else by_term, unescaped(row) if row else by_row)
        for by_term, by_row in CANDIDATES
    ]
    scored = [(_share(text, choice), choice) for choice in dict.fromkeys(choices)]
    good = [(share, choice) for share, choice in scored if share >= NEEDED_SHARE]
    if not good:
        raise InputError(
            "ambiguous_separators",
            "No separators give each row a term and a definition.",
            suggestion="Say what stands between them: term_separator and row_separator, such as - and \\n\\n.",
        )
    tabs = [choice for _, choice in good if choice.term == "\t"]
    clear = tabs or [choice for share, choice in good if share == max(score for score, _ in good)]
    best = max(clear, key=lambda choice: sum(1 for _ in _lines(text, choice)))
    rivals = [choice for choice in clear if choice.term != best.term and choice.term not in best.term]
    if rivals:
        raise InputError(
            "ambiguous_separators",
            f"The rows can be read in two ways: with {best.shown()}, or with {rivals[0].shown()}.",
            suggestion="Say which is meant by term_separator and row_separator.",
        )
    return best


def _evidence(text: str, found: Separators, is_given: bool) -> tuple[Evidence, Evidence]:
    """What speaks for the separators, as a preview shows it."""
    share = _share(text, found)
    why = "it was asked for" if is_given else f"with it, {share:.0%} of the rows have a term and a definition"
    sure = 1.0 if is_given else round(share, 3)
    return Evidence("term_separator", found.term, sure, why), Evidence("row_separator", found.row, sure, why)


def unescaped(text: str) -> str:
    """What people mean who type \\t and \\n."""
    return text.replace("\\t", "\t").replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\s", " ")


def _lines(text: str, separators: Separators) -> Iterator[Line]:
    line = 1
    for row in text.split(separators.row):
        blank = len(row) - len(row.lstrip("\n"))
        if row.strip():
            yield _line(row.strip("\n"), line + blank, separators.term)
        line += row.count("\n") + separators.row.count("\n")


def _line(row: str, line: int, mark: str) -> Line:
    term, found, definition = row.partition(mark)
    if not found:
        fault = Fault(
            None,
            "no_separator",
            f"The row has no {_shown(mark)} between a term and a definition.",
            "Add it, or name the right separator with term_separator.",
        )
        return Line((row.strip(), None), line, fault)
    return Line((term.strip(), definition.strip()), line)


def _share(text: str, separators: Separators) -> float:
    rows = [line for line in _lines(text, separators)]
    # Of one row nothing can be said, but for the mark that nobody types by chance.
    if not rows or (len(rows) == 1 and separators.term != "\t"):
        return 0.0
    return sum(1 for row in rows if row.fault is None and all(row.cells)) / len(rows)


def _shown(mark: str) -> str:
    names = {"\t": "a tab", "\n": "a new line", "\n\n": "an empty line", ";": "a semicolon", ",": "a comma"}
    return names.get(mark, repr(mark))
