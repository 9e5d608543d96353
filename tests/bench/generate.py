"""Large CSV files for measuring: deterministic, and fast enough to write hundreds of megabytes in seconds.

`python tests/bench/generate.py mixed /tmp/mixed.csv 2000000 [bad_share]`
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

BATCH = 50_000
SEED = 20_240_131
Columns = list[list[str]]

_WORDS = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "elit", "tempor", "Zürich", "東京", "naïve", "🙂")


def mixed(path: Path, rows: int, bad_share: float = 0.0) -> None:
    """Ten columns of ten kinds. A bad row has a cell that its column cannot hold, or a field too few."""
    header = "id,big,ratio,price,active,born,seen,name,note,key"
    _write(path, rows, header, _mixed, bad_share)


def narrow(path: Path, rows: int) -> None:
    """Five short columns."""
    _write(path, rows, "id,count,price,active,born", lambda rng, start, n: _mixed_head(rng, start, n))


def wide(path: Path, rows: int) -> None:
    """Two hundred integer columns."""
    header = ",".join(f"c{i}" for i in range(200))
    _write(path, rows, header, lambda rng, start, n: [_texts(rng.integers(0, 10**6, n)) for _ in range(200)])


def all_text(path: Path, rows: int) -> None:
    """Eight columns of plain words."""
    header = ",".join(f"t{i}" for i in range(8))
    _write(path, rows, header, lambda rng, start, n: [_phrases(rng, n) for _ in range(8)])


def quote_heavy(path: Path, rows: int) -> None:
    """Every field quoted, most with doubled quotes, delimiters and line ends in them."""
    header = ",".join(f"q{i}" for i in range(4))
    _write(path, rows, header, lambda rng, start, n: [_notes(rng, n, quoted_share=1.0) for _ in range(4)])


def _write(
    path: Path,
    rows: int,
    header: str,
    columns: Callable[[np.random.Generator, int, int], Columns],
    bad_share: float = 0.0,
) -> None:
    rng = np.random.default_rng(SEED)
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(header + "\n")
        for start in range(0, rows, BATCH):
            batch = columns(rng, start, min(BATCH, rows - start))
            out.writelines(_lines(rng, batch, bad_share))


def _lines(rng: np.random.Generator, columns: Columns, bad_share: float) -> Iterator[str]:
    lines = [",".join(cells) + "\n" for cells in zip(*columns, strict=True)]
    for index in np.flatnonzero(rng.random(len(lines)) < bad_share).tolist():
        cells = [column[index] for column in columns]
        cells = cells[:-1] if index % 4 == 0 else [*cells[: index % 4], "many", *cells[index % 4 + 1 :]]
        lines[index] = ",".join(cells) + "\n"
    return iter(lines)


def _mixed(rng: np.random.Generator, start: int, n: int) -> Columns:
    seconds = rng.integers(0, 1_700_000_000, n)
    micros = rng.integers(0, 1_000_000, n)
    stamps = np.datetime_as_string((seconds * 1_000_000 + micros).astype("datetime64[us]"))
    return [
        _texts(np.arange(start + 1, start + n + 1)),
        _texts(rng.integers(-(2**60), 2**60, n)),
        [repr(value) for value in np.round(rng.normal(0, 1000, n), 9).tolist()],
        [f"{cents // 100}.{cents % 100:02d}" for cents in rng.integers(0, 10**8, n).tolist()],
        np.where(rng.random(n) < 0.5, "true", "false").tolist(),
        np.datetime_as_string(rng.integers(-10_000, 20_000, n).astype("datetime64[D]")).tolist(),
        [f"{stamp}Z" for stamp in stamps.tolist()],
        [f"user{number}" for number in rng.integers(0, 10**7, n).tolist()],
        _notes(rng, n, quoted_share=0.15),
        _uuids(rng, n),
    ]


def _mixed_head(rng: np.random.Generator, start: int, n: int) -> Columns:
    columns = _mixed(rng, start, n)
    return [columns[0], _texts(rng.integers(0, 1000, n)), *columns[3:6]]


def _texts(values: np.ndarray) -> list[str]:
    return [str(value) for value in values.tolist()]


def _phrases(rng: np.random.Generator, n: int, words: int = 3) -> list[str]:
    return [" ".join(_WORDS[i] for i in row) for row in rng.integers(0, len(_WORDS), (n, words)).tolist()]


def _notes(rng: np.random.Generator, n: int, quoted_share: float) -> list[str]:
    phrases = _phrases(rng, n, words=4)
    for index in np.flatnonzero(rng.random(n) < quoted_share).tolist():
        phrases[index] = f'"{phrases[index]}, said ""she"" \nand left"'
    return phrases


def _uuids(rng: np.random.Generator, n: int) -> list[str]:
    digits = rng.bytes(16 * n).hex()
    keys = (digits[i : i + 32] for i in range(0, 32 * n, 32))
    return [f"{k[:8]}-{k[8:12]}-{k[12:16]}-{k[16:20]}-{k[20:]}" for k in keys]


if __name__ == "__main__":
    kind, target, count, *rest = sys.argv[1:]
    writers: dict[str, Callable[..., None]] = {
        writer.__name__: writer for writer in (mixed, narrow, wide, all_text, quote_heavy)
    }
    writers[kind](Path(target), int(count), *[float(share) for share in rest])
