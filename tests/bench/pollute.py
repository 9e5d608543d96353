"""Deterministic polluted files: one clean table written in every way that real files are, and what should come out."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

Row = list[str]
HEADER = ["id", "name", "price", "born", "note", "city"]
_NAMES = ("Ann", "Bob O'Neil", "Zoë", "José", "Jürgen", "Li", "Åsa", "Renée", "Max", "Ida")
_NOTES = ("plain", "with, comma", 'said "so"', "two\nlines", "", "semi; colon", "tab\there", "a | b", "x: y", "it's")
_CITIES = ("Köln", "Málaga", "Nîmes", "Göteborg", "Rome", "Oslo", "Zürich", "Porto", "Bern", "Graz")
_PRICES = ("1234.50", "7.25", "19.99", "1250000.00", "0.50", "88.10")


@dataclass(frozen=True)
class Dirty:
    """A file and the table it should give. `raw` is how each cell is written; the rows in `broken` may be refused."""

    name: str
    data: bytes
    header: Row | None
    clean: list[Row]
    raw: list[Row]
    broken: frozenset[int] = frozenset()


def table(rows: int = 40) -> list[Row]:
    """The clean table."""
    return [
        [
            str(i + 1), _NAMES[i % 10], _PRICES[i % 6], f"{1960 + i}-{i % 12 + 1:02}-{(i * 7) % 28 + 1:02}",
            _NOTES[i % 10], _CITIES[(i * 3) % 10],
        ]
        for i in range(rows)
    ]  # fmt: skip


def written(
    rows: list[Row],
    delimiter: str = ",",
    quote: str = '"',
    escape: str | None = None,
    end: str = "\n",
    every: bool = False,
) -> str:
    """The rows as delimited text."""
    lines = []
    for row in rows:
        cells = []
        for cell in row:
            special = every or any(c in cell for c in (delimiter, quote, "\n", "\r"))
            inside = cell.replace("\\", "\\\\") if escape else cell
            inside = inside.replace(quote, (escape or quote) + quote)
            cells.append(quote + inside + quote if special else cell)
        lines.append(delimiter.join(cells) + end)
    return "".join(lines)


def files() -> Iterator[Dirty]:
    """Every pollution."""
    clean = table()
    whole = [HEADER, *clean]
    plain = written(whole)
    base = Dirty("clean.csv", plain.encode(), HEADER, clean, clean)

    def text(name: str, said: str, **more: object) -> Dirty:
        return replace(base, name=name, data=said.encode(), **more)  # type: ignore[arg-type]

    yield base
    for mark, name in zip(
        ";\t|^~:\x01\x1f", ("semicolon", "tab", "pipe", "caret", "tilde", "colon", "01", "1f"), strict=True
    ):
        yield text(f"delimiter_{name}.csv", written(whole, mark))
    for mark, name in (
        ("||", "two_pipes"),
        ("::", "two_colons"),
        (", ", "comma_space"),
        (" ", "space"),
        ("¦", "broken_bar"),
    ):
        yield text(f"delimiter_{name}.csv", written(whole, mark))
    yield text("quote_single.csv", written(whole, quote="'"))
    yield text("quote_every.csv", written(whole, every=True))
    yield text("quote_single_semicolon.csv", written(whole, ";", "'", every=True))
    yield text("escape_backslash.csv", written(whole, escape="\\"))
    yield text("escape_backslash_semicolon.csv", written(whole, ";", escape="\\", every=True))
    yield text("end_crlf.csv", written(whole, end="\r\n"))
    yield text("end_cr.csv", written(whole, end="\r"))
    lines = [written([row]) for row in whole]
    yield text("end_mixed.csv", "".join(line[:-1] + ("\r\n" if i % 3 else "\n") for i, line in enumerate(lines)))
    yield text("no_last_end.csv", plain[:-1])
    yield text("blank_lines.csv", "\n".join(lines))
    yield text("blank_lines_last.csv", plain + "\n\n\n")
    yield text("header_only.csv", lines[0], clean=[], raw=[])
    yield text("one_row.csv", lines[0] + lines[1], clean=clean[:1], raw=clean[:1])
    yield text("no_header.csv", written(clean), header=None)
    yield text("no_header_semicolon.csv", written(clean, ";"), header=None)
    yield text("title.csv", "Customers of 2024\n" + plain)
    yield text("title_three.csv", "Customers\nas of 31.12.2024\n\nsource: office\n" + plain)
    yield text("title_padded.csv", "Customers;;;;;\n;;;;;\n" + written(whole, ";"))
    yield text("sep_line.csv", "sep=;\r\n" + written(whole, ";", end="\r\n"))
    yield text("comments_above.csv", "# made by hand\n# on a Monday\n" + plain)
    yield text(
        "comments_between.csv", "# made by hand\n" + "".join(lines[:10]) + "# half, of it\n" + "".join(lines[10:])
    )
    total = [["Total", "", "1234.00", "", "", ""]]
    yield text(
        "footer.csv", plain + "\nTotal rows: 40\n", clean=[*clean, ["?"]], raw=[*clean, ["?"]], broken=frozenset([40])
    )
    yield text("total.csv", plain + written(total), clean=clean + total, raw=clean + total, broken=frozenset([40]))
    yield text("trailing_delimiters.csv", _ended(whole))
    yield text("trailing_delimiters_rows.csv", lines[0] + _ended(clean))
    yield text("empty_row.csv", "".join(lines[:6]) + ",,,,,\n" + "".join(lines[6:]), **_with(clean, 5, [""] * 6))
    for name, line in (
        ("row_short", "99,Ann,7.25\n"),
        ("row_long", "99,Ann,7.25,2024-01-01,x,Rome,more\n"),
        ("row_extra_quote", '99,"Ann"x",7.25,2024-01-01,"y"z",Rome\n'),
        ("row_open_quote", '99,"Ann,7.25,2024-01-01,x,Rome\n'),
        ("row_other_delimiter", "99;Ann;7.25;2024-01-01;x;Rome\n"),
        ("row_bad_number", "99,Ann,many,2024-01-01,x,Rome\n"),
        ("row_bad_date", "99,Ann,7.25,2024-02-31,x,Rome\n"),
    ):
        bad = _with(clean, 20, line[:-1].split(",") if name.startswith("row_bad") else ["99", *"?????"])
        if name == "row_extra_quote":
            bad = _with(clean, 20, ["99", 'Annx"', "7.25", "2024-01-01", 'yz"', "Rome"])
        yield text(f"{name}.csv", "".join(lines[:21]) + line + "".join(lines[21:]), broken=frozenset([20]), **bad)
    odd = b"99,Ann,7.25,2024-01-01,{},Rome\n"
    for name, byte in (("nul", b"\0"), ("bad_byte", b"\xe9x")):
        start, rest = "".join(lines[:21]).encode(), "".join(lines[21:]).encode()
        bad = _with(clean, 20, ["99", "?", "?", "?", "?", "?"])
        yield replace(
            base, name=f"row_{name}.csv", data=start + odd.replace(b"{}", byte) + rest, broken=frozenset([20]), **bad
        )  # type: ignore[arg-type]
    long = [[*row[:4], "x" * 100_000 if i == 7 else row[4], row[5]] for i, row in enumerate(clean)]
    yield text("long_field.csv", written([HEADER, *long]), clean=long, raw=long)
    yield from _formats(base, clean)
    for encoding in (
        "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "iso8859-15", "mac-roman", "cp850",
    ):  # fmt: skip
        yield replace(base, name=f"encoding_{encoding}.csv", data=plain.encode(encoding))
    yield from _languages(base, clean)
    for ending, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zip", _zipped)):
        yield replace(base, name=f"packed.csv.{ending}", data=pack(plain.encode()))
    yield replace(base, name="packed_utf16_semicolon.csv.gz", data=gzip.compress(written(whole, ";").encode("utf-16")))
    repeated = ["id", "name", "name", "born", "note", "city"]
    yield text("header_repeated.csv", written([repeated, *clean]), header=repeated)
    lacking = ["id", "name", "", "born", "note", "city"]
    yield text("header_gap.csv", written([lacking, *clean]), header=lacking)
    names = ["full name", *(f"{row[1]}, {row[5]}" for row in clean)]
    ones = [[name] for name in names[1:]]
    yield text("one_column.csv", "\n".join(names) + "\n", header=["full name"], clean=ones, raw=ones)


def _with(clean: list[Row], place: int, row: Row) -> dict[str, object]:
    rows = [*clean[:place], row, *clean[place:]]
    return {"clean": rows, "raw": rows}


def _ended(rows: list[Row]) -> str:
    return "".join(written([row])[:-1] + ",\n" for row in rows)


def _formats(base: Dirty, clean: list[Row]) -> Iterator[Dirty]:
    ways = {
        "decimal_comma": (2, lambda i, cell: cell.replace(".", ",")),
        "thousands_comma": (2, lambda i, cell: f"{float(cell):,.2f}"),
        "thousands_point": (2, lambda i, cell: f"{float(cell):,.2f}".translate(str.maketrans(",.", ".,"))),
        "thousands_space": (2, lambda i, cell: f"{float(cell):,.2f}".replace(",", " ").replace(".", ",")),
        "thousands_apostrophe": (2, lambda i, cell: f"{float(cell):,.2f}".replace(",", "'")),
        "dates_dmy": (3, lambda i, cell: "/".join(reversed(cell.split("-")))),
        "dates_mdy": (3, lambda i, cell: "/".join([*cell.split("-")[1:], cell[:4]])),
        "dates_points": (3, lambda i, cell: ".".join(str(int(part)) for part in reversed(cell.split("-")))),
        "nulls_na": (2, lambda i, cell: "n/a" if i % 9 == 4 else cell),
        "nulls_null": (3, lambda i, cell: "NULL" if i % 9 == 4 else cell),
        "nulls_dash": (2, lambda i, cell: "-" if i % 9 == 4 else cell),
    }
    for name, (place, way) in ways.items():
        raw = [[way(i, cell) if at == place else cell for at, cell in enumerate(row)] for i, row in enumerate(clean)]
        wanted = [
            [
                ("" if name.startswith("nulls") and i % 9 == 4 else cell) if at == place else cell
                for at, cell in enumerate(row)
            ]
            for i, row in enumerate(clean)
        ]
        for mark, kind in ((",", ""), (";", "_semicolon")):
            data = written([HEADER, *raw], mark).encode()
            yield replace(base, name=f"format_{name}{kind}.csv", data=data, clean=wanted, raw=raw)


def _languages(base: Dirty, clean: list[Row]) -> Iterator[Dirty]:
    words = {
        "cp1250": ("Łukasz", "Dvořák", "Kraków", "Košice"),
        "iso8859-2": ("Łukasz", "Wiśniewski", "Kraków", "Łódź"),
        "cp1251": ("Иван", "Ольга", "Москва", "Новосибирск"),
        "koi8-r": ("Иван", "Ольга", "Москва", "Новосибирск"),
        "cp1253": ("Γιώργος", "Μαρία", "Αθήνα", "Θεσσαλονίκη"),
        "cp1254": ("İbrahim", "Ayşe", "Eskişehir", "Diyarbakır"),
        "shift-jis": ("山田さん", "スズキ", "東京都", "大阪市"),
        "euc-jp": ("山田さん", "スズキ", "東京都", "大阪市"),
        "gb18030": ("张伟", "王芳", "北京市", "上海"),
        "big5": ("張偉", "陳美麗", "臺北市", "高雄"),
        "euc-kr": ("김철수", "이영희", "서울", "부산"),
    }
    for encoding, (one, two, three, four) in words.items():
        rows = [[row[0], (one, two)[i % 2], *row[2:5], (three, four)[i % 2]] for i, row in enumerate(clean)]
        data = written([HEADER, *rows]).encode(encoding)
        yield replace(base, name=f"encoding_{encoding}.csv", data=data, clean=rows, raw=rows)


def _zipped(data: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("packed.csv"), data)
    return out.getvalue()
