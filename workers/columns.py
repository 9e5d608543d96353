"""Names and types of dataset columns: what Arrow type one has, and what a file's text looks like.

Shared by every row format. Reading the text itself is in `workers.casting`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.chunk import Column, ColumnType
from service.domain.errors import InputError
from service.domain.naming import NAME_BYTES, cut, plain_name
from service.domain.row_options import MOST_COLUMNS
from workers.cells import lengths

COLUMN_LIMIT = MOST_COLUMNS
PRECISION = 38
"""Digits of a numeric: what decimal128 holds."""
EXACT_DIGITS = 15
"""Significant decimal digits that a double always keeps."""

LINEAGE = ("_job", "_row")

_ARROW: dict[ColumnType, pa.DataType] = {
    ColumnType.INTEGER: pa.int32(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
    ColumnType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    ColumnType.UUID: pa.binary(16),
    ColumnType.TEXT: pa.string(),
    ColumnType.JSONB: pa.string(),
}

_WHOLE = r"-?(0|[1-9][0-9]*)"
_BOOLEAN = ["true", "false", "True", "False", "TRUE", "FALSE"]
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_SHAPES: tuple[tuple[ColumnType, str], ...] = (
    (ColumnType.DATE, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    (ColumnType.TIMESTAMP, _TIME + "$"),
    (ColumnType.TIMESTAMPTZ, _TIME + r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"),
    (ColumnType.UUID, r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type in which a column's values travel."""
    if column.type is ColumnType.NUMERIC:
        return pa.decimal128(PRECISION, column.scale or 0)
    return _ARROW[column.type]


def schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of a dataset's batches."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def check_shape(dataset: tuple[Column, ...] | None, needed: tuple[Column, ...]) -> None:
    """Raise InputError if a dataset that has columns has others than a format that always gives the same ones."""
    if dataset is not None and dataset != needed:
        raise InputError(
            "schema_mismatch",
            f"The dataset has the columns {', '.join(column.name for column in dataset)[:300]}; "
            f"this format gives {', '.join(column.name for column in needed)}.",
            suggestion="Import into another dataset.",
        )


def column_names(header: list[str], most: int = COLUMN_LIMIT) -> list[str]:
    """Predictable, distinct column names of at most 63 bytes for a file's header, in its order. Raises InputError."""
    if len(header) > most:
        raise too_many_columns(len(header))
    taken: set[str] = set()
    names = []
    for position, text in enumerate(header, start=1):
        name = _distinct(plain_name(text) or f"column_{position}", taken)
        taken.add(name)
        names.append(name)
    return names


def too_many_columns(count: int) -> InputError:
    """What to say of a file that is too wide for a table."""
    return InputError(
        "too_many_columns",
        f"The file has {count:,} columns; a dataset holds at most {COLUMN_LIMIT:,}.",
        suggestion="Leave columns out by `drop` or `others`, split the file by columns, or check the delimiter.",
    )


def infer(name: str, strings: pa.StringArray | pa.ChunkedArray) -> Column:
    """The narrowest type that holds all these values exactly. Nulls and empty strings say nothing."""
    values = spoken(strings)
    if len(values) == 0:
        return Column(name, ColumnType.TEXT)
    return _boolean(name, values) or _number(name, values) or _shaped(name, values) or Column(name, ColumnType.TEXT)


def exact_double(name: str, values: pa.Array) -> Column | None:
    """A column of doubles, if these numbers have no more digits than a double keeps."""
    mantissa = pc.replace_substring_regex(values, r"[eE].*$|[-.]", "")
    digits = pc.max(pc.binary_length(pc.ascii_ltrim(mantissa, characters="0"))).as_py()
    # A number beyond the range of a double parses as infinity, which is not what the file says.
    if digits > EXACT_DIGITS or pc.any(pc.is_inf(pc.cast(values, pa.float64()))).as_py():
        return None
    return Column(name, ColumnType.DOUBLE)


def spoken(strings: pa.StringArray | pa.ChunkedArray) -> pa.Array:
    """The cells that say something."""
    array = strings.combine_chunks() if isinstance(strings, pa.ChunkedArray) else strings
    if not array.null_count and lengths(array).all():
        return array
    return array.filter(pc.not_equal(array, ""))


def _distinct(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while (candidate := f"{cut(name, NAME_BYTES - len(str(number)) - 1)}_{number}") in taken:
        number += 1
    return candidate


def _all(mask: pa.Array) -> bool:
    return bool(pc.all(mask).as_py())


def _match(values: pa.Array, shape: str) -> bool:
    """Whether all have this shape. The first one alone says no for most, and there are many columns and shapes."""
    return bool(re.match(shape, values[0].as_py())) and _all(pc.match_substring_regex(values, shape))


def _boolean(name: str, values: pa.Array) -> Column | None:
    if values[0].as_py() not in (*_BOOLEAN, *"tfTF"):
        return None
    letters = [["t", "f"], ["T", "F"]]
    is_words = _all(pc.is_in(values, pa.array(_BOOLEAN)))
    # A column of nothing but "t" is more likely a code than a truth value.
    is_pair = any(_all(pc.is_in(values, pa.array(pair))) and len(values.unique()) == 2 for pair in letters)
    return Column(name, ColumnType.BOOLEAN) if is_words or is_pair else None


def _number(name: str, values: pa.Array) -> Column | None:
    if _match(values, rf"^{_WHOLE}$"):
        return _whole(name, values)
    if not _match(values, rf"^{_WHOLE}(\.[0-9]+)?([eE][+-]?[0-9]+)?$"):
        return None
    if pc.any(pc.match_substring(values, "e", ignore_case=True)).as_py():
        return exact_double(name, values)
    return _decimal(name, values)


def _whole(name: str, values: pa.Array) -> Column | None:
    for kind in (ColumnType.INTEGER, ColumnType.BIGINT):
        if _casts(values, _ARROW[kind]):
            return Column(name, kind)
    digits = pc.max(pc.binary_length(pc.ascii_ltrim(values, characters="-"))).as_py()
    return Column(name, ColumnType.NUMERIC, 0) if digits <= PRECISION else None


def _decimal(name: str, values: pa.Array) -> Column | None:
    point = pc.find_substring(values, ".")
    whole = pc.binary_length(pc.ascii_ltrim(values, characters="-"))
    decimals = pc.subtract(pc.subtract(pc.binary_length(values), point), 1)
    decimals = pc.if_else(pc.less(point, 0), 0, decimals)
    has_point = pc.greater(decimals, 0)
    before = pc.subtract(whole, pc.if_else(has_point, pc.add(decimals, 1), 0))
    scale = pc.max(decimals).as_py()
    fits = pc.max(before).as_py() + scale <= PRECISION
    is_even = pc.count_distinct(decimals.filter(has_point)).as_py() == 1
    if is_even and scale <= 12 and fits:
        return Column(name, ColumnType.NUMERIC, scale)
    if double := exact_double(name, values):
        return double
    return Column(name, ColumnType.NUMERIC, scale) if scale <= 18 and fits else None


def _shaped(name: str, values: pa.Array) -> Column | None:
    for kind, shape in _SHAPES:
        if _match(values, shape):
            is_right = kind is ColumnType.UUID or _real_time(values, _ARROW[kind])
            return Column(name, kind) if is_right else None
    return None


def _real_time(values: pa.Array, target: pa.DataType) -> bool:
    """No 30 February, and no year 0, which Arrow has and PostgreSQL and Python do not."""
    return _casts(values, target) and not pc.any(pc.starts_with(values, "0000")).as_py()


def _casts(values: pa.Array, target: pa.DataType) -> bool:
    try:
        pc.cast(values, target)
    except pa.ArrowInvalid:
        return False
    return True
