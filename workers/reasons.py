"""Why a text is no value of a column, as rejects say it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from service.domain.chunk import Column, ColumnType
from workers.casting import DECIMAL, WHOLE
from workers.formats import PLAIN, Format, plain

Reason = tuple[str, str, str]
"""Code, message, suggestion."""


def reason(column: Column, text: str, written: Format = PLAIN) -> Reason:
    """Why this text is no value of the column: code, message, suggestion."""
    if "\0" in text:
        return (
            "nul_byte",
            f"{column.name} contains a NUL character.",
            "Remove the NUL characters; PostgreSQL text cannot hold them.",
        )
    if written != PLAIN:
        cells, wrong = plain(pa.array([text], pa.string()), column.type, written)
        if wrong[0]:
            example = f"1{written.thousands}234{written.decimal}5"
            return (
                "not_a_number",
                f"{column.name} is not written as the other numbers of its column.",
                f"Write it like {example}, or name the marks with the options decimal and thousands.",
            )
        text = cells[0].as_py() or text
    return _REASONS[column.type](column, text.strip(" \t"))


def _integer_reason(column: Column, text: str) -> Reason:
    if re.match(WHOLE, text):
        limit = "2,147,483,647" if column.type is ColumnType.INTEGER else "9,223,372,036,854,775,807"
        return (
            "out_of_range",
            f"{column.name} is too large for {column.type} (at most {limit}).",
            "Correct the number, or use a dataset whose column is bigint or numeric.",
        )
    return (
        "not_an_integer",
        f"{column.name} is not a whole number.",
        "Write it in digits only, such as 42 or -7, or leave it empty.",
    )


def _number_reason(column: Column, text: str) -> Reason:
    if not re.match(DECIMAL, text):
        return (
            "not_a_number",
            f"{column.name} is not a number.",
            "Write it with a decimal point and without thousands separators, such as 1234.5, or leave it empty.",
        )
    scale = column.scale or 0
    if column.type is ColumnType.NUMERIC and _decimals(text) > scale:
        return (
            "too_many_decimals",
            f"{column.name} has more than {scale} decimals.",
            f"Round it to {scale} decimals, or use a dataset whose column keeps more; nothing is rounded silently.",
        )
    return ("out_of_range", f"{column.name} is too large for {column.type}.", "Correct the number.")


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    # An exponent of hundreds is out of range either way; int() of a long one would be slow.
    power = int(exponent) if 0 < len(exponent) <= 5 else 0
    return len(mantissa.partition(".")[2].rstrip("0")) - power


def _time_reason(column: Column, text: str) -> Reason:
    if text.startswith("0000"):
        return ("out_of_range", f"{column.name} is in the year 0.", "Use a year from 0001 to 9999.")
    if column.type is ColumnType.DATE:
        return ("not_a_date", f"{column.name} is not a date.", "Write it as year-month-day, such as 2024-01-31.")
    offset = "with an offset, such as 2024-01-31T09:30:00Z or 2024-01-31T09:30:00+02:00"
    plain = "without an offset, such as 2024-01-31T09:30:00"
    form = offset if column.type is ColumnType.TIMESTAMPTZ else plain
    return ("not_a_timestamp", f"{column.name} is not a {column.type}.", f"Write it in ISO 8601 {form}.")


def _boolean_reason(column: Column, text: str) -> Reason:
    return ("not_a_boolean", f"{column.name} is neither true nor false.", "Write true or false, or leave it empty.")


def _uuid_reason(column: Column, text: str) -> Reason:
    form = "123e4567-e89b-12d3-a456-426614174000"
    return ("not_a_uuid", f"{column.name} is not a UUID.", f"Write it in the form {form}.")


def _json_reason(column: Column, text: str) -> Reason:
    return (
        "not_json",
        f"{column.name} is not JSON that PostgreSQL can hold.",
        "Write valid JSON without NUL characters, its numbers with at most 16,383 decimals.",
    )


def _text_reason(column: Column, text: str) -> Reason:
    return ("not_text", f"{column.name} is not text.", "Save the file as UTF-8.")


_REASONS: dict[ColumnType, Callable[[Column, str], Reason]] = {
    ColumnType.INTEGER: _integer_reason,
    ColumnType.BIGINT: _integer_reason,
    ColumnType.DOUBLE: _number_reason,
    ColumnType.NUMERIC: _number_reason,
    ColumnType.DATE: _time_reason,
    ColumnType.TIMESTAMP: _time_reason,
    ColumnType.TIMESTAMPTZ: _time_reason,
    ColumnType.BOOLEAN: _boolean_reason,
    ColumnType.UUID: _uuid_reason,
    ColumnType.JSONB: _json_reason,
    ColumnType.TEXT: _text_reason,
}
