from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from panelgate.wsframes import CloseCode, WebSocketError
from webproxy.forward import wstext
from webproxy.forward.wstext import Budget, TextFrames


def change(text: bytes) -> bytes:
    return text.replace(b"private", b"a much longer public name")


def packed(*frames: Frame, client: bool) -> bytes:
    return b"".join(frame.serialize(mask=client) for frame in frames)


def read(data: bytes, *, client: bool) -> list[Frame]:
    """What the receiving side makes of it; websockets checks masks, order and UTF-8."""
    side = Protocol(Side.SERVER if client else Side.CLIENT, state=OPEN, max_size=None)
    side.receive_data(data)
    assert side.parser_exc is None
    return [event for event in side.events_received() if isinstance(event, Frame)]


frames = st.one_of(
    st.text(max_size=300).map(lambda text: [Frame(Opcode.TEXT, text.encode())]),
    st.lists(st.sampled_from([b"pri", b"vate", b"private", b"x" * 200, b""]), min_size=2, max_size=5).map(
        lambda parts: [
            Frame(Opcode.CONT if at else Opcode.TEXT, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)
        ]
    ),
    st.binary(max_size=70_000).map(lambda data: [Frame(Opcode.BINARY, data)]),
    st.binary(max_size=100).map(lambda data: [Frame(Opcode.BINARY, data, fin=False), Frame(Opcode.CONT, b"private")]),
    st.binary(max_size=125).map(lambda data: [Frame(Opcode.PING, data)]),
)


def messages(frames: list[Frame]) -> list[tuple[int, bytes]]:
    """Data messages joined, control frames as they are."""
    out: list[tuple[int, bytes]] = []
    for frame in frames:
        if frame.opcode == Opcode.CONT:
            out[-1] = (out[-1][0], out[-1][1] + bytes(frame.data))
        else:
            out.append((int(frame.opcode), bytes(frame.data)))
    return out


@pytest.mark.parametrize("client", [False, True])
@given(parts=st.lists(frames, max_size=6), cuts=st.lists(st.integers(0, 100_000), max_size=8))
def test_texts_change_and_all_else_passes_in_every_split(
    client: bool, parts: list[list[Frame]], cuts: list[int]
) -> None:
    sent = [frame for part in parts for frame in part]
    data = packed(*sent, client=client)
    side, out, last = TextFrames(change, client=client), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += side.feed(data[last:cut])
        last = cut
    expected = [(code, change(text) if code == Opcode.TEXT else text) for code, text in messages(sent)]
    assert messages(read(out, client=client)) == expected
    assert side.between_frames


def test_a_ping_inside_a_message_goes_ahead() -> None:
    side = TextFrames(change, client=False)
    data = packed(
        Frame(Opcode.TEXT, b"pri", fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, b"vate"), client=False
    )  # fmt: skip
    assert messages(read(side.feed(data), client=False)) == [(Opcode.PING, b"?"), (Opcode.TEXT, change(b"private"))]


def test_a_close_keeps_its_code() -> None:
    data = packed(Frame(Opcode.CLOSE, b"\x0f\xa1private"), client=True)
    assert TextFrames(change, client=True).feed(data) == data


def test_masks_are_fresh() -> None:
    side = TextFrames(change, client=True)
    data = packed(Frame(Opcode.TEXT, b"private"), client=True)
    assert len({side.feed(data)[2:6] for _ in range(5)}) == 5


def test_frames_of_an_extension_are_not_touched() -> None:
    side = TextFrames(change, client=False)
    frames = (Frame(Opcode.TEXT, b"private", fin=False), Frame(Opcode.CONT, b"private"), Frame(Opcode.TEXT, b"private"))
    data = packed(*frames, client=False)
    data = bytes([data[0] | 0x40]) + data[1:]  # compressed, with permessage-deflate
    got = side.feed(data)
    assert got.startswith(data[:18])
    assert got.endswith(change(b"private"))


@pytest.mark.parametrize(("data", "code"), [
    (b"\x81\xff\x00\x00\x00\x00\x01\x00\x00\x01", CloseCode.PROTOCOL_ERROR),  # masked by a server
    (b"\x81\x7f\x80\x00\x00\x00\x01\x00\x00\x01", CloseCode.PROTOCOL_ERROR),
    (b"\x01\x01a\x81\x01b", CloseCode.PROTOCOL_ERROR), (b"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x01", CloseCode.TOO_BIG),
])  # fmt: skip
def test_what_can_not_go_on(data: bytes, code: CloseCode) -> None:
    with pytest.raises(WebSocketError) as error:
        TextFrames(change, client=False).feed(data + bytes(8))
    assert error.value.code == code


def test_messages_of_16_mib_and_no_more() -> None:
    whole = packed(Frame(Opcode.TEXT, b"x" * wstext.MESSAGE_LIMIT), client=False)
    assert TextFrames(change, client=False).feed(whole) == whole
    half = Frame(Opcode.TEXT, b"x" * (wstext.MESSAGE_LIMIT // 2), fin=False)
    side = TextFrames(change, client=False)
    side.feed(packed(half, client=False))
    with pytest.raises(WebSocketError) as error:
        side.feed(packed(Frame(Opcode.CONT, half.data + b"x"), client=False))
    assert error.value.code == CloseCode.TOO_BIG


def test_all_together_hold_a_limited_number_of_bytes() -> None:
    budget = Budget(1000)
    begun = packed(Frame(Opcode.TEXT, b"x" * 600, fin=False), client=False)
    first, second = (TextFrames(change, client=False, budget=budget) for _ in range(2))
    first.feed(begun)
    with pytest.raises(WebSocketError):
        second.feed(begun)
    first.feed(packed(Frame(Opcode.CONT, b""), client=False))
    assert budget.left == 1000
    second.feed(b"")
    third = TextFrames(change, client=False, budget=budget)
    third.feed(begun)
    third.end()
    assert budget.left == 1000
