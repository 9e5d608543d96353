"""Any table, written in any dialect and encoding and read in chunks of any size, comes back as it was.

Cells that do not fit are put in at random: these rows, all of them and no others, are rejects at their own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.chunk import Column, ColumnType
from tests.corpus import CORPUS, corpus_file
from tests.unit.test_csv import rejects, rows, run

COLUMNS = (
    Column("whole", ColumnType.INTEGER),
    Column("money", ColumnType.NUMERIC, 2),
    Column("day", ColumnType.DATE),
    Column("name", ColumnType.TEXT),
    Column("flag", ColumnType.BOOLEAN),
)
CODES = {"whole": "not_an_integer", "money": "not_a_number", "day": "not_a_date", "flag": "not_a_boolean"}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "iso8859-15", "cp850", "gb18030")


@dataclass(frozen=True)
class Dialect:
    delimiter: str
    quote: str
    escape: str
    end: str
    encoding: str


DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ";", "\t", "|", "^", "\x1f", "||"]),
    quote=st.sampled_from(['"', "'"]),
    escape=st.sampled_from(["", "\\"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
)
NAMES = st.text(alphabet="aé ß,;|^\t\x1f\n\r\"'\\#ab", max_size=8)
ROWS = st.tuples(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(10**12), 10**12).map(lambda cents: Decimal(cents).scaleb(-2)),
    st.dates(date(1, 1, 1), date(9999, 12, 31)),
    NAMES,
    st.booleans(),
)
BAD = st.sampled_from(["", *CODES])


def written(row: tuple[Any, ...], bad: str, dialect: Dialect) -> str:
    cells = []
    for column, value in zip(COLUMNS, row, strict=True):
        text = "?" if column.name == bad else str(value).lower() if isinstance(value, bool) else str(value)
        if column.type is ColumnType.TEXT:
            inside = text.replace(dialect.escape, 2 * dialect.escape) if dialect.escape else text
            inside = inside.replace(dialect.quote, (dialect.escape or dialect.quote) + dialect.quote)
            text = dialect.quote + inside + dialect.quote
        cells.append(text)
    return dialect.delimiter.join(cells) + dialect.end


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ROWS, BAD), min_size=1, max_size=12), DIALECTS, st.integers(1, 400))
def test_what_was_written_is_read_back_and_bad_cells_are_named(
    table: list[tuple[tuple[Any, ...], str]], dialect: Dialect, chunk_bytes: int
) -> None:
    header = dialect.delimiter.join(column.name for column in COLUMNS) + dialect.end
    data = (header + "".join(written(row, bad, dialect) for row, bad in table)).encode(dialect.encoding)
    signs = {"delimiter": dialect.delimiter, "quote": dialect.quote, "escape": dialect.escape, "comment": ""}
    chunks = run(data, COLUMNS, chunk_bytes, encoding=dialect.encoding, header=True, **signs)
    assert rows(chunks) == [list(row) for row, bad in table if not bad]
    found = [(number, column, code) for number, _, column, code in rejects(chunks)]
    assert found == [(n, bad, CODES[bad]) for n, (_, bad) in enumerate(table, 1) if bad]


def test_every_real_file_is_read_or_refused_for_a_stated_reason() -> None:
    corpus_file("csv/imdb.csv")
    for path in sorted((CORPUS / "csv").rglob("*.csv")):
        data = path.read_bytes()
        chunks = run(data)
        read, refused = sum(chunk.read for chunk in chunks), rejects(chunks)
        assert read == len(rows(chunks)) + len(refused)
        assert all(code for *_, code in refused)
        assert len(refused) <= read // 10, path
