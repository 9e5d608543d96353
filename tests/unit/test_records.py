"""Record boundaries against a slow, obvious reading of the same rule, character by character."""

from __future__ import annotations

import io
import time
from itertools import product, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.dialect import COMMA, Dialect
from workers.quoting import strays
from workers.records import KEPT_BYTES, Block, blocks, line_count, pieces, records

NASTY = st.text(alphabet='a,"\n\r', max_size=60).map(str.encode)
Spans = list[tuple[int, int, int, int]]


def obvious(data: bytes) -> tuple[Spans, bool]:
    """(start, end, lines before, fields) of each record that is not blank, and whether a quote stays open."""
    found: Spans = []
    start = i = line = begin = 0
    width, at_start, inside = 1, True, False
    while i < len(data):
        c = data[i : i + 1]
        is_break = c == b"\n" or (c == b"\r" and data[i + 1 : i + 2] != b"\n")
        if inside:
            if data[i : i + 2] == b'""':
                i += 1
            elif c == b'"':
                inside = False
        elif c == b'"' and at_start:
            inside, at_start = True, False
        elif is_break:
            end = i - 1 if data[i - 1 : i + 1] == b"\r\n" and i > start else i
            if end > start:
                found.append((start, end, begin, width))
            start, begin, width, at_start = i + 1, line + 1, 1, True
        elif c == b",":
            width, at_start = width + 1, True
        elif c != b"\r":
            at_start = False
        line += is_break
        i += 1
    if start < len(data):
        found.append((start, len(data), begin, width))
    return found, inside


def spans(data: bytes) -> Spans:
    found = records(data, COMMA)
    columns = (found.starts, found.ends, found.lines, found.widths)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def cut(data: bytes, block_bytes: int, limit: int = 1 << 24) -> list[Block]:
    return list(blocks(io.BytesIO(data), 0, COMMA, repeat(block_bytes), limit))


@settings(max_examples=1500, deadline=None)
@given(NASTY)
def test_records_are_those_of_the_obvious_reading(data: bytes) -> None:
    assert spans(data) == obvious(data)[0]


@settings(max_examples=800, deadline=None)
@given(NASTY, st.integers(1, 70))
def test_blocks_of_any_size_hold_the_same_records(data: bytes, block_bytes: int) -> None:
    one, many = cut(data, 1 << 20), cut(data, block_bytes)
    for found in (one, many):
        assert [b.offset for b in found] == [0, *(b.end for b in found)][: len(found)]
        assert (found[-1].end if found else 0) == len(data)
        assert sum(b.lines for b in found) == line_count(data)
    assert read(many) == read(one)


def read(found: list[Block]) -> list[bytes]:
    texts = []
    for block in found:
        spoken = [block.data[start:end] for start, end, _, _ in spans(block.data)]
        texts += [block.data.rstrip(b"\r\n")] if block.fault else spoken
    return texts


@settings(max_examples=300, deadline=None)
@given(NASTY)
def test_pieces_put_together_are_the_block(data: bytes) -> None:
    for block in cut(data, 1 << 20):
        assert b"".join(pieces(block.data, COMMA, 1)) == block.data


def test_pieces_end_at_records() -> None:
    data = b'1,"a\nb"\n' * 40_000
    found = list(pieces(data, COMMA, 10))
    assert len(found) > 2
    assert b"".join(found) == data
    assert all(piece.startswith(b"1,") and piece.endswith(b'"\n') for piece in found)


def test_a_quote_never_closed_costs_its_line_only() -> None:
    found = cut(b'a,b\n1,"x\n2,y\n3,z\n', 1 << 20)
    assert [(block.data, block.fault) for block in found] == [
        (b"a,b\n", None),
        (b'1,"x\n', "unclosed_quote"),
        (b"2,y\n3,z\n", None),
    ]


def test_an_earlier_field_with_a_line_end_goes_with_the_line_of_the_lone_quote() -> None:
    found = cut(b'1,"x\ny","z\n2,a\n', 1 << 20)
    assert [(block.data, block.lines, block.fault) for block in found] == [
        (b'1,"x\ny","z\n', 2, "unclosed_quote"),
        (b"2,a\n", 1, None),
    ]


@pytest.mark.parametrize("text", [b"x" * 5_000_000, b'"' + b"x" * 5_000_000 + b'"'])
def test_a_record_over_the_limit_is_skipped_whole(text: bytes) -> None:
    found = cut(b"1,a\n2," + text + b"\n3,c\n", 64 * 1024, limit=1024 * 1024)
    assert [(block.fault, block.lines) for block in found] == [(None, 1), ("record_too_large", 1), (None, 1)]
    assert len(found[1].data) == KEPT_BYTES
    assert found[2].data == b"3,c\n"


@pytest.mark.parametrize(
    "line", [b'"a\n', b'1,"\n', b'"a""\n', b'"\n""\n', b'a"b"c\n', b'"",""\n', b'"""\n', b'1,""x"\n']
)
def test_quotes_on_every_line_take_linear_time(line: bytes) -> None:
    data = line * (6_000_000 // len(line))
    started = time.process_time()
    found = cut(data + b'"', 256 * 1024, limit=1024 * 1024)
    assert time.process_time() - started < 5
    assert found[-1].end == len(data) + 1


def test_a_lone_quote_in_front_of_a_long_file_is_given_up_once() -> None:
    data = b'1,"x\n' + b"2,y\n" * 1_500_000
    started = time.process_time()
    found = cut(data, 256 * 1024, limit=1024 * 1024)
    assert time.process_time() - started < 3
    assert [block.fault for block in found].count("unclosed_quote") == 1
    assert sum(block.lines for block in found) == 1_500_001


def test_stray_quotes_are_those_found_from_left_to_right() -> None:
    """A comment in a text has it scanned; without one its quotes are looked at all at once."""
    remark = b"#\n"
    for length in range(1, 7):
        for octets in product(b'",\na', repeat=length):
            data = bytes(octets)
            scanned = strays(remark + data, Dialect(comment="#")) - len(remark)
            assert strays(data, COMMA).tolist() == scanned.tolist(), data
