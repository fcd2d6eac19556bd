"""The wire of the multiplexer, against the byte vectors that are kept for ever."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate import frames
from panelgate.frames import FrameReader, Kind, ProtocolError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mux-v1.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_vectors_are_what_we_write_and_read(vector: dict[str, object]) -> None:
    raw = bytes.fromhex(str(vector["hex"]))
    kind, stream, payload = Kind[str(vector["type"])], int(str(vector["stream"])), bytes.fromhex(str(vector["payload"]))
    assert frames.encode(kind, stream, payload) == raw
    assert FrameReader().feed(raw) == [(kind, stream, payload)]


@pytest.mark.parametrize("vector", VECTORS["errors"], ids=lambda vector: vector["name"])
def test_error_vectors_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(bytes.fromhex(vector["hex"]))


def test_makers_and_parsers_agree() -> None:
    (hello, credit, reset) = FrameReader().feed(
        frames.hello() + frames.credit(7, 70_000) + frames.reason(Kind.RESET, 7, 6, "certificate sha256 AB:CD")
    )
    assert frames.parse_hello(hello.payload) == (1, 1)
    assert frames.parse_credit(credit.payload) == 70_000
    assert frames.parse_reason(reset.payload) == (6, "certificate sha256 AB:CD")
    assert frames.data_header(3, 5) + b"hello" == frames.encode(Kind.DATA, 3, b"hello")


def test_versions() -> None:
    assert frames.common_version(1, 9) == 1
    with pytest.raises(ProtocolError, match="no common version"):
        frames.common_version(2, 9)
    for impossible in (b"\0\0\0\1", b"\0\2\0\1"):
        with pytest.raises(ProtocolError):
            frames.parse_hello(impossible)


def test_a_longer_hello_of_a_later_version_is_read() -> None:
    (hello,) = FrameReader().feed(frames.encode(Kind.HELLO, 0, b"\0\1\0\2later things"))
    assert frames.parse_hello(hello.payload) == (1, 2)


def test_long_reasons_are_cut_between_characters() -> None:
    (frame,) = FrameReader().feed(frames.reason(Kind.GOAWAY, 0, 1, "ä" * 300))
    assert frames.parse_reason(frame.payload) == (1, "ä" * 128)


def test_texts_of_the_other_side_are_made_printable_or_refused() -> None:
    assert frames.parse_reason(b"\0\1a\nb\xff") == (1, "a?b\ufffd")
    for bad in (b"\xff", b"a\nb"):
        with pytest.raises(ProtocolError):
            frames.parse_text(bad)


def test_an_empty_credit_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        frames.parse_credit(b"\0\0\0\0")


def test_ignorable_frames_pass_in_pieces_and_unknown_ones_do_not() -> None:
    reader = FrameReader()
    raw = frames.encode(0x90, 5, b"x" * 1000) + frames.encode(Kind.FIN, 5)
    assert [frame.kind for frame in reader.feed(raw[:300]) + reader.feed(raw[300:])] == [0x90, 0x90, Kind.FIN]
    with pytest.raises(ProtocolError, match="unknown frame type 10"):
        FrameReader().feed(frames.encode(10, 0))
    with pytest.raises(ProtocolError):
        FrameReader().feed(frames.encode(0x90, 0, b"x" * (frames.MAX_DATA + 1)))


@given(st.lists(st.tuples(st.integers(1, 9), st.binary(min_size=1, max_size=40)), max_size=8), st.data())
def test_any_fragmentation_gives_the_same_frames(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    raw = b"".join(frames.encode(Kind.DATA, stream, payload) + frames.credit(stream, 1) for stream, payload in sent)
    reader = FrameReader()
    got: list[tuple[int, int, bytes]] = []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        for kind, stream, payload in reader.feed(raw[:size]):
            if kind == Kind.DATA and got and got[-1][0] == Kind.DATA:
                got[-1] = (kind, stream, got[-1][2] + payload)
            else:
                got.append((kind, stream, payload))
        raw = raw[size:]
    assert got == [
        frame
        for stream, payload in sent
        for frame in ((Kind.DATA, stream, payload), (Kind.CREDIT, stream, b"\0\0\0\1"))
    ]


@given(st.lists(st.binary(max_size=64)))
def test_hostile_bytes_end_in_an_error_or_wait_for_more(chunks: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for chunk in chunks:
            reader.feed(chunk)
            assert len(reader._partial) < frames.HEADER_SIZE + 2 + frames.MAX_TEXT
    except ProtocolError:
        pass
