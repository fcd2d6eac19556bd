from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from panelgate.wsframes import CloseCode, WebSocketError
from webproxy.forward import wstext
from webproxy.forward.rewrite import Addresses
from webproxy.forward.wstext import Budget, TextFrames

ADDRESSES = Addresses({("http", "10.0.0.5", 80): "https://a-much-longer-name.apps.example"}, "http")
PRIVATE = b"http://10.0.0.5/"
change = ADDRESSES.replace


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
    st.lists(st.sampled_from([b"http:/", b"/10.0.0.5", PRIVATE, b"x" * 200, b""]), min_size=2, max_size=5).map(
        lambda parts: [
            Frame(Opcode.CONT if at else Opcode.TEXT, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)
        ]
    ),
    st.binary(max_size=70_000).map(lambda data: [Frame(Opcode.BINARY, data)]),
    st.binary(max_size=100).map(lambda data: [Frame(Opcode.BINARY, data, fin=False), Frame(Opcode.CONT, PRIVATE)]),
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
    side, out, last = TextFrames(ADDRESSES, client=client), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += side.feed(data[last:cut])
        last = cut
    expected = [(code, change(text) if code == Opcode.TEXT else text) for code, text in messages(sent)]
    assert messages(read(out, client=client)) == expected
    assert side.between_frames


def test_a_ping_inside_a_message_goes_ahead() -> None:
    side = TextFrames(ADDRESSES, client=False)
    data = packed(
        Frame(Opcode.TEXT, PRIVATE[:9], fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, PRIVATE[9:]),
        client=False,
    )  # fmt: skip
    assert messages(read(side.feed(data), client=False)) == [(Opcode.PING, b"?"), (Opcode.TEXT, change(PRIVATE))]


def test_a_close_keeps_its_code() -> None:
    data = packed(Frame(Opcode.CLOSE, b"\x0f\xa1" + PRIVATE), client=True)
    assert TextFrames(ADDRESSES, client=True).feed(data) == data


def test_masks_are_fresh() -> None:
    side = TextFrames(ADDRESSES, client=True)
    data = packed(Frame(Opcode.TEXT, PRIVATE), client=True)
    assert len({side.feed(data)[2:6] for _ in range(5)}) == 5


def test_frames_of_an_extension_are_not_touched() -> None:
    side = TextFrames(ADDRESSES, client=False)
    frames = (Frame(Opcode.TEXT, PRIVATE, fin=False), Frame(Opcode.CONT, PRIVATE), Frame(Opcode.TEXT, PRIVATE))
    data = packed(*frames, client=False)
    data = bytes([data[0] | 0x40]) + data[1:]  # compressed, with permessage-deflate
    got = side.feed(data)
    assert got.startswith(data[: 2 * (2 + len(PRIVATE))])
    assert got.endswith(change(PRIVATE))


@pytest.mark.parametrize(("data", "code"), [
    (b"\x81\xff\x00\x00\x00\x00\x01\x00\x00\x01", CloseCode.PROTOCOL_ERROR),  # masked by a server
    (b"\x81\x7f\x80\x00\x00\x00\x01\x00\x00\x01", CloseCode.PROTOCOL_ERROR),
    (b"\x01\x01a\x81\x01b", CloseCode.PROTOCOL_ERROR),
])  # fmt: skip
def test_what_can_not_go_on(data: bytes, code: CloseCode) -> None:
    with pytest.raises(WebSocketError) as error:
        TextFrames(ADDRESSES, client=False).feed(data + bytes(8))
    assert error.value.code == code


@pytest.mark.parametrize("client", [False, True])
@given(
    before=st.integers(0, 40), parts=st.lists(st.integers(0, 40), max_size=4), cuts=st.lists(st.integers(0, 400)),
    left=st.integers(0, 60),
)  # fmt: skip
def test_what_can_not_be_held_leaves_in_pieces(
    client: bool, before: int, parts: list[int], cuts: list[int], left: int
) -> None:
    text = b"x" * before + b"".join(PRIVATE * 2 + b"y" * size for size in parts)
    half = len(text) // 2
    data = packed(
        Frame(Opcode.TEXT, text[:half], fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, text[half:]),
        Frame(Opcode.TEXT, b"next"), client=client,
    )  # fmt: skip
    budget = Budget(left)
    side, out, last = TextFrames(ADDRESSES, client=client, budget=budget), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += side.feed(data[last:cut])
        last = cut
    got = [frame for frame in read(out, client=client) if frame.opcode != Opcode.PING]
    assert messages(got) == [(Opcode.TEXT, change(text)), (Opcode.TEXT, b"next")]
    assert budget.left == left


def test_a_message_of_any_length_holds_little() -> None:
    budget = Budget(wstext.BUDGET_BYTES)
    side = TextFrames(ADDRESSES, client=False, budget=budget)
    piece = packed(Frame(Opcode.CONT, b"x" * 65536, fin=False), client=False)
    out = len(side.feed(packed(Frame(Opcode.TEXT, PRIVATE, fin=False), client=False)))
    least = budget.left
    for _ in range(100):
        out += len(side.feed(piece))
        least = min(least, budget.left)
    assert wstext.BUDGET_BYTES - least <= wstext.HELD_LIMIT
    assert budget.left == wstext.BUDGET_BYTES
    assert out > 100 * 65536


def test_who_holds_much_stops_nobody_else() -> None:
    budget = Budget(1000)
    first, second = (TextFrames(ADDRESSES, client=False, budget=budget) for _ in range(2))
    assert first.feed(packed(Frame(Opcode.TEXT, b"x" * 1000, fin=False), client=False)) == b""
    got = second.feed(packed(Frame(Opcode.TEXT, PRIVATE), client=False))
    assert messages(read(got, client=False)) == [(Opcode.TEXT, change(PRIVATE))]
    assert second.feed(packed(Frame(Opcode.TEXT, b"x" * 20, fin=False), client=False)) != b""
    assert budget.left == 0
    first.end()
    assert budget.left == 1000
