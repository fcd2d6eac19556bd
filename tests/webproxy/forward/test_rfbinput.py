from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward.rfb import BadClient
from webproxy.forward.rfbinput import INPUT, MAX_CUT_TEXT, ClientMessages


def encodings(*values: int) -> bytes:
    return struct.pack(f">BxH{len(values)}i", 2, len(values), *values)


def cut_text(body: bytes, *, extended: bool = False) -> bytes:
    return struct.pack(">Bxxxi", 6, -len(body) if extended else len(body)) + body


# By type; bodies hold bytes that would be types of their own if lengths were read wrongly.
MESSAGES = [
    b"\x00" + bytes(19),
    encodings(7, -239, 0x04040404),
    encodings(),
    struct.pack(">BBHHHH", 3, 1, 0, 0, 800, 480),
    struct.pack(">BBxxI", 4, 1, 0xFF0D),
    struct.pack(">BBHH", 5, 1, 10, 20),
    struct.pack(">BBHHB", 5, 0x81, 10, 20, 3),
    cut_text(b"\x04\x05 Rezept 7"),
    cut_text(b""),
    cut_text(b"\x01\x00\x00\x01\x04\x05", extended=True),
    struct.pack(">BBHHHH", 150, 1, 0, 0, 800, 480),
    struct.pack(">BxxxIB", 248, 1, 5) + b"\x04\x05abc",
    b"\xfa\x00\x01\x02",
    struct.pack(">BxHHBx", 251, 800, 480, 1) + b"\x05" * 16,
    struct.pack(">BBHII", 255, 0, 1, 0x61, 30),
]
WITHHELD = INPUT | {6}
messages = st.lists(st.sampled_from(MESSAGES), max_size=20)
cuts = st.lists(st.integers(0, 400), max_size=30)


def feed(parser: ClientMessages, data: bytes, at: list[int]) -> bytes:
    passed, start = b"", 0
    for cut in (*sorted(c for c in at if c <= len(data)), len(data)):
        passed += parser.feed(data[start:cut])
        start = cut
    return passed


@given(messages, cuts)
def test_an_operator_sends_everything_unchanged(sent: list[bytes], at: list[int]) -> None:
    parser = ClientMessages(watch=False)
    assert feed(parser, b"".join(sent), at) == b"".join(sent)
    assert parser.inputs == sum(m[0] in INPUT for m in sent)
    assert parser.dropped == 0


@given(messages, cuts)
def test_a_watcher_asks_for_pictures_only(sent: list[bytes], at: list[int]) -> None:
    parser = ClientMessages(watch=True)
    assert feed(parser, b"".join(sent), at) == b"".join(m for m in sent if m[0] not in WITHHELD)
    assert parser.inputs == 0
    assert parser.dropped == sum(m[0] in WITHHELD for m in sent)


@given(messages, cuts)
def test_clipboard_rule(sent: list[bytes], at: list[int]) -> None:
    parser = ClientMessages(watch=False, clipboard=False)
    assert feed(parser, b"".join(sent), at) == b"".join(m for m in sent if m[0] != 6)


@given(st.binary(max_size=200), st.booleans())
def test_hostile_bytes(data: bytes, watch: bool) -> None:
    """Whatever comes: it is passed in part, in order, or refused; and a watcher's input never passes."""
    parser = ClientMessages(watch=watch)
    try:
        passed = feed(parser, data, [3, 7, 50])
    except BadClient:
        return
    assert len(passed) <= len(data)
    assert len(parser._head) <= 20
    if watch:
        assert parser.inputs == 0


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {m[0] for m in MESSAGES}))
def test_unknown_types_end_it(kind: int) -> None:
    with pytest.raises(BadClient, match=str(kind)):
        ClientMessages(watch=False).feed(MESSAGES[3] + bytes([kind]))


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">Bxxxi", 6, MAX_CUT_TEXT + 1),
        struct.pack(">Bxxxi", 6, -MAX_CUT_TEXT - 1),
        struct.pack(">Bxxxi", 6, -(2**31)),
        struct.pack(">BxxxIB", 248, 1, 65),
        struct.pack(">BBHII", 255, 1, 1, 0, 0),
    ],
)
def test_absurd_lengths_end_it(data: bytes) -> None:
    with pytest.raises(BadClient):
        ClientMessages(watch=False).feed(data)


def test_a_long_text_is_not_collected() -> None:
    parser = ClientMessages(watch=False)
    assert len(parser.feed(struct.pack(">Bxxxi", 6, MAX_CUT_TEXT))) == 8
    for _ in range(16):
        assert len(parser.feed(bytes(MAX_CUT_TEXT // 16))) == MAX_CUT_TEXT // 16
    assert parser.feed(MESSAGES[3]) == MESSAGES[3]


def test_a_rule_that_changes_applies_from_the_next_message() -> None:
    parser = ClientMessages(watch=False)
    key = MESSAGES[4]
    assert parser.feed(key + key[:4]) == key
    parser.watch = True
    assert parser.feed(key[4:] + key) == b""
    parser.watch = False
    assert parser.feed(key) == key
