"""A watch history as resumable chunks of events, from either form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa

from service.domain.chunk import Chunk, Column, ColumnType, Reject
from service.domain.errors import InputError
from service.domain.processor import Work
from workers.columns import check_shape, schema
from workers.elements import Element, elements
from workers.evidence import Evidence, of_packing
from workers.exact import storable
from workers.reading import Reading, opened
from workers.takeout import dates, exports, pages, usual
from workers.takeout.clock import Clock
from workers.takeout.events import Entry, Event, Link, event_of
from workers.takeout.exports import Sentence
from workers.takeout.packing import HEAD_BYTES, reading_of

COLUMNS = (
    Column("at", ColumnType.TIMESTAMPTZ),
    Column("kind", ColumnType.TEXT),
    Column("title", ColumnType.TEXT),
    Column("video_id", ColumnType.TEXT),
    Column("url", ColumnType.TEXT),
    Column("channel", ColumnType.TEXT),
    Column("channel_id", ColumnType.TEXT),
    Column("channel_url", ColumnType.TEXT),
    Column("product", ColumnType.TEXT),
)
_SCHEMA = schema(COLUMNS)
ENTRIES = 2_000
"""The most entries of a JSON history that are one chunk; a page's chunk is one of its batches."""
ENTRY_BYTES = 400
"""About what an entry takes."""
RAW_CHARACTERS = 2_000


State = dict[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Lot:
    """What one chunk is made of: events and rejects in the order of the file, and where to go on behind them.

    `raw` tells the original text of one of them, `evidence` how moments were understood.
    """

    found: list[Event | str]
    raw: Callable[[int], str]
    end: int
    evidence: Sequence[Evidence] = ()


def read(work: Work, tz: str | None, member: str | None = None) -> Iterator[Chunk]:
    """The events behind the work's cursor. Raises InputError: not a watch history, or its time zone is unknown."""
    how = Reading.loaded(str(work.cursor["reading"])) if work.cursor else reading_of(work.source, member)
    text = opened(work.source, how)
    work = dataclasses.replace(work, source=cast(BinaryIO, text))
    cursor: State = {"offset": 0, "row": 1, "reading": how.dumped()}
    cursor |= work.cursor or {"form": form_of(work.source)}
    check_shape(work.columns, COLUMNS)
    lots = _of_page(work, cursor, tz) if cursor["form"] == "html" else _of_export(work, cursor)
    row, any_yet, evidence = int(cursor["row"] or 1), work.cursor is not None, None
    told = tuple(str(cursor.get("told") or "").splitlines())
    for lot in lots:
        if work.explains and not any_yet:
            why = "given" if member else "the only one in the archive with a history of YouTube"
            evidence = _explained(how, [*of_packing(how.compression, how.member, why), *lot.evidence])
        any_yet = True
        events = [item for item in lot.found if not isinstance(item, str)]
        rejects = tuple(
            _reject(row + index, item, lot.raw(index)) for index, item in enumerate(lot.found) if isinstance(item, str)
        )
        first, row = row, row + len(lot.found)
        remarks = tuple(entry.why for entry in lot.evidence if entry.why not in told)
        told += remarks
        after = {**cursor, "offset": lot.end, "row": row, "told": "\n".join(told)}
        chunk = Chunk(COLUMNS, _batch(events), first, len(lot.found), after, text.done(lot.end), rejects)
        yield dataclasses.replace(chunk, evidence=evidence, remarks=remarks)
        evidence = None
    if not any_yet:
        raise InputError(
            "no_entries", "The file has no entries of a watch history.", suggestion="Export the watch history again."
        )


def _explained(how: Reading, evidence: Sequence[Evidence]) -> dict[str, Any]:
    return {
        "encoding": how.encoding,
        "compression": how.compression,
        "evidence": [dataclasses.asdict(entry) for entry in evidence],
    }


def form_of(source: BinaryIO) -> str:
    """`html` or `json`, by content. Raises InputError for anything else."""
    source.seek(0)
    head = source.read(HEAD_BYTES)
    if pages.ENTRY in head or b'class="mdl-' in head:
        return "html"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return "json"
    raise InputError(
        "unsupported_format",
        "This is no watch history: neither Takeout's HTML nor a JSON array.",
        suggestion="Send watch-history.html, watch-history.json or MyActivity of a Google Takeout.",
    )


def _of_page(work: Work, cursor: State, tz: str | None) -> Iterator[Lot]:
    if "locale" not in cursor:
        head = next(pages.batches(work.source, 0, pages.SAMPLE_BYTES), None)
        cards = [pages.by_tree(entry) for entry in head.entries] if head else []
        times = [dates.plain(card.when) for card in cards if not isinstance(card, str)]
        language = dates.language_of(times)
        cursor["locale"] = None if language is None else language.locales[0]
    clock = Clock(tz, cursor["locale"])
    for batch in pages.batches(work.source, int(cursor["offset"] or 0), min(pages.BATCH_BYTES, work.chunk_bytes)):
        found = _read(batch.entries, clock)
        yield Lot(found, partial(_raw_card, batch.entries), batch.end, clock.evidence())


def _of_export(work: Work, cursor: State) -> Iterator[Lot]:
    if "before" not in cursor:
        head = [item.value for item in islice(elements(work.source, ()), ENTRIES)]
        settled = exports.sentence_of([value["title"] for value in head if exports.is_watched(value)])
        cursor["before"], cursor["behind"] = settled.before, settled.behind
    sentence = Sentence(str(cursor["before"]), str(cursor["behind"]))
    items = elements(work.source, (), int(cursor["offset"] or 0))
    most = max(1, min(ENTRIES, work.chunk_bytes // ENTRY_BYTES))
    while lot := list(islice(items, most)):
        yield Lot([_exported(item, sentence) for item in lot], partial(_raw_item, lot), lot[-1].end)


def _exported(item: Element, sentence: Sentence) -> Event | str:
    entry = exports.entry_of(item.value, sentence)
    return entry if isinstance(entry, str) else event_of(entry)


def _read(entries: list[bytes], clock: Clock) -> list[Event | str]:
    found = usual.events_of(entries, clock.read)
    return [_by_tree(entry, clock) if event is None else event for entry, event in zip(entries, found, strict=True)]


def _by_tree(entry: bytes, clock: Clock) -> Event | str:
    card = pages.by_tree(entry)
    if isinstance(card, str):
        return "This is no entry of a history."
    (at,) = clock.read([card.when])
    if at is None:
        return f"{card.when[:60]!r} is no time in a language that is known here."
    channel = next((line for line in card.lines if line.url is not None), None)
    return event_of(Entry(card.what, channel, at, card.product, card.is_ad))


def _raw_item(items: list[Element], index: int) -> str:
    return items[index].text


def _raw_card(entries: list[bytes], index: int) -> str:
    card = pages.by_tree(entries[index])
    if isinstance(card, str):
        return card
    return " | ".join(link.text for link in (card.what, *card.lines, Link(card.when, None)))


def _reject(row: int, why: str, raw: str) -> Reject:
    text = raw[:RAW_CHARACTERS].replace("\0", "\N{SYMBOL FOR NULL}")
    return Reject(row, 1, None, "not_an_entry", why, "Export the history again, or leave this entry out.", text)


def _batch(events: list[Event]) -> pa.RecordBatch:
    assert tuple(column.name for column in COLUMNS) == Event._fields
    columns = zip(*events, strict=True) if events else [()] * len(COLUMNS)
    arrays = [_array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.timestamp("s", kind.tz)).cast(kind)
    try:
        array = pa.array(values, kind)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON may hold
        return pa.array([_stored(value) for value in values], kind)
    text = array.buffers()[2] if pa.types.is_string(kind) else None
    if text is not None and b"\0" in memoryview(text).tobytes():
        return pa.array([_stored(value) for value in values], kind)
    return array


def _stored(value: object) -> object:
    return storable(value) if isinstance(value, str) else value
