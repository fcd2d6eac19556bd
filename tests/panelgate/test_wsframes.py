"""RFC 6455 frames, beside those that the websockets library writes and reads."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as TheirOpcode

from panelgate import wsframes
from panelgate.wsframes import CloseCode, Item, Opcode, StreamUnmasker, WebSocketError

SIZES = [0, 1, 125, 126, 65535, 65536, 200_000]


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("client", [True, False])
def test_our_frames_are_the_librarys_frames(size: int, client: bool) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    raw = wsframes.frame(Opcode.BINARY, payload, client=client)
    assert StreamUnmasker(client=not client).feed(raw) == [Item(Opcode.BINARY, payload)]
    theirs = Frame(TheirOpcode.BINARY, payload).serialize(mask=client)
    assert StreamUnmasker(client=not client).feed(theirs) == [Item(Opcode.BINARY, payload)]
    if not client:
        assert raw == theirs


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.booleans(), st.data())
def test_stream_mode_gives_the_bytes_in_any_fragmentation(sent: list[bytes], client: bool, data: st.DataObject) -> None:
    raw = b"".join(wsframes.frame(Opcode.BINARY, piece, client=client) for piece in sent)
    receiver = StreamUnmasker(client=not client)
    got = b""
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        got += b"".join(item.payload for item in receiver.feed(memoryview(raw)[:size]))
        raw = raw[size:]
    assert got == b"".join(sent)


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_circuits_frames_are_not_turned_over_and_not_copied_on_arrival(size: int, client: bool) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    raw = wsframes.stream_frame(memoryview(payload), client=client)
    assert raw.endswith(payload)
    if client:
        assert raw == wsframes.header(Opcode.BINARY, size, wsframes.STREAM_MASK) + payload
    else:
        assert raw == wsframes.frame(Opcode.BINARY, payload, client=False)
    [item] = StreamUnmasker(client=not client, views=True).feed(raw)
    assert isinstance(item.payload, memoryview)
    assert (item.payload.obj, bytes(item.payload)) == (raw, payload)
    # A library's own key is understood as well, and one who keeps what arrives gets bytes.
    theirs = Frame(TheirOpcode.BINARY, payload).serialize(mask=client)
    assert StreamUnmasker(client=not client, views=True).feed(theirs) == [Item(Opcode.BINARY, payload)]
    assert isinstance(StreamUnmasker(client=not client).feed(raw)[0].payload, bytes)


def test_control_frames_between_the_pieces_of_a_message() -> None:
    raw = (
        Frame(TheirOpcode.BINARY, b"one ", fin=False).serialize(mask=False)
        + wsframes.frame(Opcode.PING, b"?", client=False)
        + Frame(TheirOpcode.CONT, b"two", fin=True).serialize(mask=False)
        + wsframes.frame(Opcode.PONG, b"", client=False)
    )
    assert StreamUnmasker(client=True).feed(raw) == [
        (Opcode.BINARY, b"one "), (Opcode.PING, b"?"), (Opcode.BINARY, b"two"), (Opcode.PONG, b""),
    ]  # fmt: skip


def test_messages_are_collected_whole() -> None:
    raw = (
        Frame(TheirOpcode.TEXT, b'{"type":', fin=False).serialize(mask=True)
        + Frame(TheirOpcode.CONT, b'"open"}', fin=True).serialize(mask=True)
        + wsframes.frame(Opcode.TEXT, b"", client=True)
    )
    receiver = StreamUnmasker(client=False, messages=100)
    items = list(itertools.chain.from_iterable(receiver.feed(raw[n : n + 1]) for n in range(len(raw))))
    assert items == [(Opcode.TEXT, b'{"type":"open"}'), (Opcode.TEXT, b"")]


def masked(raw: bytes) -> bytes:
    return raw + bytes(4)


@pytest.mark.parametrize(
    ("raw", "messages", "code"),
    [
        (masked(b"\xc2\x81"), 0, CloseCode.PROTOCOL_ERROR),  # a reserved bit
        (b"\x82\x01x", 0, CloseCode.PROTOCOL_ERROR),  # not masked
        (masked(b"\x83\x81"), 0, CloseCode.UNSUPPORTED),  # section 5.2: opcode 3 is reserved
        (masked(b"\x8b\x80"), 0, CloseCode.PROTOCOL_ERROR),
        (masked(b"\x09\x80"), 0, CloseCode.PROTOCOL_ERROR),  # section 5.5: control frames are not fragmented
        (masked(b"\x89\xfe\x00\x7e"), 0, CloseCode.PROTOCOL_ERROR),  # and not long
        (masked(b"\x80\x80"), 0, CloseCode.PROTOCOL_ERROR),  # continuation of nothing
        (masked(b"\x81\x80"), 0, CloseCode.UNSUPPORTED),  # text in stream mode
        (masked(b"\x82\x80"), 100, CloseCode.UNSUPPORTED),  # bytes in message mode
        (masked(b"\x82\xff" + (1 << 40).to_bytes(8, "big")), 0, CloseCode.TOO_BIG),
        (masked(b"\x81\xfe\x00\xff"), 100, CloseCode.TOO_BIG),
        (masked(b"\x02\x80") + masked(b"\x02\x80"), 0, CloseCode.PROTOCOL_ERROR),  # a message in a message
        ((masked(b"\x01\xb2") + b"x" * 50) + (masked(b"\x00\xb4") + b"x" * 52), 100, CloseCode.TOO_BIG),
    ],
)
def test_violations_are_answered_with_the_right_code(raw: bytes, messages: int, code: int) -> None:
    with pytest.raises(WebSocketError) as caught:
        StreamUnmasker(client=False, messages=messages).feed(raw)
    assert caught.value.code == code


def test_a_server_must_not_mask() -> None:
    with pytest.raises(WebSocketError):
        StreamUnmasker(client=True).feed(wsframes.frame(Opcode.BINARY, b"x", client=True))


def test_close_bodies() -> None:
    assert wsframes.parse_close(wsframes.close_payload(1008, "cut_revoked")) == (1008, "cut_revoked")
    assert wsframes.parse_close(b"") == (CloseCode.NO_STATUS, "")
    assert wsframes.parse_close(b"\x03\xe8a\nb")[1] == "a?b"
    assert len(wsframes.close_payload(1000, "ä" * 200)) <= wsframes.MAX_CONTROL
    with pytest.raises(WebSocketError):
        wsframes.parse_close(b"\x03")


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans(), st.sampled_from([0, 50]))
def test_hostile_bytes_end_in_an_error_or_wait_for_more(chunks: list[bytes], client: bool, messages: int) -> None:
    receiver = StreamUnmasker(client=client, messages=messages)
    try:
        for chunk in chunks:
            receiver.feed(chunk)
            assert len(receiver._head) < wsframes.MAX_HEADER
            assert len(receiver._stash) <= wsframes.MAX_CONTROL
            assert len(receiver._message or b"") <= 50
    except WebSocketError:
        pass
