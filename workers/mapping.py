"""Which column of the file goes into which column of the dataset, as the caller's options say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from service.domain.chunk import ColumnType
from service.domain.column_spec import ColumnSpec
from service.domain.errors import InputError
from service.domain.naming import plain_name
from service.domain.row_options import RowOptions

SHOWN = 500
"""Characters of a list of names in a message."""


@dataclass(frozen=True, slots=True)
class Target:
    """A column of the dataset, made from the file's column number `source`; None for one that needs none."""

    source: int | None
    spec: ColumnSpec

    @property
    def name(self) -> str:
        """What the dataset calls it."""
        return self.spec.name


class Names:
    """The file's columns: the names they would get, and what the header writes where there is one."""

    def __init__(self, names: Sequence[str], header: Sequence[str] | None = None) -> None:
        self.names = tuple(names)
        self.header = None if header is None else tuple(header)
        self._places: dict[str, int] = {}
        for texts in (names, header or ()):  # of two of the same name the first is meant
            for place, text in enumerate(texts):
                self._places.setdefault(text, place)

    @property
    def written(self) -> tuple[str, ...]:
        """What the file calls its columns, or what they are called here where it does not."""
        return self.names if self.header is None else self.header

    def place(self, text: str) -> int:
        """The number of the column that is called so. Raises InputError."""
        for word in (text, plain_name(text)):
            if word in self._places:
                return self._places[word]
        raise unknown_column(f"The file has no column {text!r}", text, self.names)

    def dumped(self) -> str:
        """As text for a cursor."""
        return json.dumps([self.names, self.header])

    @staticmethod
    def loaded(text: str) -> Names:
        """From a cursor."""
        return Names(*json.loads(text))


def targets(file: Names, options: RowOptions) -> tuple[Target, ...]:
    """The dataset's columns to be: in the file's order, or, where others are dropped, in that of `columns`.

    Columns that need none of the file, or one that another column has, follow in the order of `columns`. Raises
    InputError: a name the file does not have, or two columns of one name.
    """
    named = [Target(None if s.constant is not None else file.place(s.source or s.name), s) for s in options.columns]
    dropped = {file.place(text) for text in options.drop}
    renamed = {file.place(text): name for text, name in options.rename.items()}
    if options.others == "drop":
        used = {target.source for target in named}
        found = named + [Target(at, ColumnSpec(name=name)) for at, name in renamed.items() if at not in used]
    else:
        found = _in_file_order(file, named, dropped, renamed)
    _check_names(found)
    return tuple(_typed(found, options))


def unknown_column(what: str, text: str, known: Sequence[str]) -> InputError:
    """What to say about a column that is not there; `what` is a sentence without its end."""
    near = get_close_matches(plain_name(text), known, 1) or get_close_matches(text, known, 1)
    names = ", ".join(known)
    shown = names if len(names) <= SHOWN else names[:SHOWN] + " …"
    return InputError(
        "unknown_column",
        f"{what}; it has {shown or 'none'}.",
        suggestion=f"Did you mean {near[0]!r}?" if near else "Use one of these names, or leave the column out.",
    )


def _in_file_order(file: Names, named: list[Target], dropped: set[int], renamed: dict[int, str]) -> list[Target]:
    first: dict[int | None, Target] = {}
    for target in named:
        first.setdefault(target.source, target)
    found = []
    for place, name in enumerate(file.names):
        if place in first:
            found.append(first[place])
        elif place not in dropped:
            found.append(Target(place, ColumnSpec(name=renamed.get(place, name))))
    return found + [target for target in named if target.source is None or first[target.source] is not target]


def _check_names(found: Sequence[Target]) -> None:
    seen: set[str] = set()
    for target in found:
        if target.name in seen:
            raise InputError(
                "invalid_options",
                f"Two columns would be called {target.name!r}.",
                suggestion=f'Rename or drop the other one, for example "drop": ["{target.name}"].',
            )
        seen.add(target.name)


def _typed(found: Sequence[Target], options: RowOptions) -> list[Target]:
    """With the types that `types` gives by name."""
    names = [target.name for target in found]
    for name in options.types:
        if name not in names:
            raise unknown_column(f"`types` names {name!r}, which is no column of the dataset", name, names)
    kinds: dict[str, ColumnType] = options.types
    return [
        Target(t.source, t.spec.model_copy(update={"type": kinds[t.name]})) if t.name in kinds else t for t in found
    ]
