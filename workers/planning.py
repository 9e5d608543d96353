"""Settles the columns of a dataset over a file: from the caller's options, the dataset as it is, and a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.errors import InputError
from service.domain.processor import Column, ColumnType
from service.domain.row_options import RowOptions
from workers.casting import cast
from workers.checking import checks
from workers.columns import COLUMN_LIMIT, infer, too_many_columns
from workers.formats import PLAIN, Format
from workers.mapping import Names, Target, targets
from workers.shaping import Field, Shape, text_of

MAX_SCALE = 18
"""Decimals of a numeric column that a sample can give it."""

Sample = Callable[[], Sequence[pa.Array]]
"""Text of some rows by the file's columns; asked for only where types are to be found out."""


def plan(
    file: Names,
    options: RowOptions,
    dataset: Sequence[Column] | None,
    sample: Sample,
    formats: Sequence[Format] | None = None,
) -> Shape:
    """How the file's columns become the dataset's.

    `dataset` is None where it has no columns yet. `formats` is how the file's columns are written. Raises InputError:
    the options name what is not there, or do not fit each other, the types or the dataset.
    """
    found = targets(file, options)
    known = None if dataset is None else _matched(found, dataset)
    if known is None and len(found) > COLUMN_LIMIT:
        raise too_many_columns(len(found))
    texts = sample() if known is None and any(_is_open(target) for target in found) else ()
    written = formats or [PLAIN] * len(file.names)
    fields = []
    for target in found:
        column = known[target.name] if known is not None else _column(target, texts)
        entry = PLAIN if target.source is None else written[target.source]
        fields.append(_field(target, column, entry))
    return Shape(len(file.names), tuple(fields))


def _field(target: Target, column: Column, entry: Format) -> Field:
    spec = target.spec
    widens = spec.type is None and target.source is not None
    field = Field(column, target.source, spec, entry, checks(column, spec), widens)
    for word, text in (("constant", spec.constant), ("default", spec.default)):
        if text is not None:
            _check_word(word, text, field)
    return field


def _check_word(word: str, text: str, field: Field) -> None:
    _, bad = cast(pa.array([text], pa.string()), field.column, field.format)
    if bad[0]:
        raise InputError(
            "invalid_options",
            f"The {word} {text!r} is no value of {field.column.name}, which is {field.column.type}.",
            suggestion="Change it, or give the column another type.",
        )


def _is_open(target: Target) -> bool:
    return target.spec.type is None or (target.spec.type is ColumnType.NUMERIC and target.spec.scale is None)


def _column(target: Target, texts: Sequence[pa.Array]) -> Column:
    spec = target.spec
    if spec.type is not None and not _is_open(target):
        return Column(target.name, spec.type, spec.scale)
    if target.source is None:
        text = pa.array([spec.constant], pa.string())
    else:
        text = text_of(spec, texts[target.source], len(texts[target.source]))
    if spec.type is ColumnType.NUMERIC:
        return Column(target.name, spec.type, _scale(text))
    return infer(target.name, text)


def _scale(text: pa.Array) -> int:
    """The most decimals that any number of the sample has."""
    decimals = pc.extract_regex(text, r"^\s*[-+]?[0-9]*\.(?P<decimals>[0-9]*)\s*$").field("decimals")
    return min(pc.max(pc.binary_length(decimals)).as_py() or 0, MAX_SCALE)


def _matched(found: Sequence[Target], dataset: Sequence[Column]) -> dict[str, Column]:
    by_name = {column.name: column for column in dataset}
    unknown = [target.name for target in found if target.name not in by_name]
    if unknown:
        raise InputError(
            "schema_mismatch",
            f"The dataset has no column {', '.join(unknown[:10])}; it has {', '.join(by_name)[:500]}.",
            suggestion="Rename or drop these columns by options or in the file, or use another dataset.",
        )
    for target in found:
        column, spec = by_name[target.name], target.spec
        if spec.type not in (None, column.type) or spec.scale not in (None, column.scale):
            raise InputError(
                "schema_mismatch",
                f"{column.name} of the dataset is {written_type(column)}, and stays so.",
                suggestion="Leave its type out, or use another dataset.",
            )
    return by_name


def written_type(column: Column) -> str:
    """A column's type as people read it."""
    return column.type.value if column.scale is None else f"{column.type.value} with {column.scale} decimals"
