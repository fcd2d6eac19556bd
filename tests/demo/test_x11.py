"""X messages against bytes from the X protocol's specification."""

import struct

import pytest

from demo import x11
from demo.canvas import Box, Colour, Fill
from demo.x11 import Exposed, Key, Keyboard, KeyboardChanged, Screen, Touch, XError

SCREEN = Screen(root=0x123, ids=0x200000, first_key=8, last_key=255)


def setup_answer(vendor: bytes = b"Some X", formats: int = 2) -> bytes:
    padded = vendor + bytes(-len(vendor) % 4)
    body = struct.pack(
        "<IIIIHHBBBBBBBB4x", 1, 0x200000, 0x1FFFFF, 256, len(vendor), 65535, 1, formats, 0, 0, 32, 32, 8, 255
    )
    body += padded + bytes(8 * formats) + struct.pack("<I", 0x123) + bytes(36)
    return struct.pack("<BBHHH", 1, 0, 11, 0, len(body) // 4) + body


def test_setup_finds_root_ids_and_keys():
    answer = setup_answer()
    assert x11.setup_length(answer[:8]) == len(answer) - 8
    assert x11.parse_setup(answer) == SCREEN
    assert (SCREEN.window, SCREEN.pen) == (0x200001, 0x200002)


def test_setup_refusal_carries_the_servers_words():
    words = b"No protocol specified\n"
    answer = struct.pack("<BBHHH", 0, len(words), 11, 0, 6) + words + bytes(2)
    with pytest.raises(XError, match="No protocol specified"):
        x11.parse_setup(answer)


def requests(wire: bytes) -> list[tuple[int, bytes]]:
    found = []
    while wire:
        length = struct.unpack_from("<H", wire, 2)[0] * 4
        found.append((wire[0], wire[4:length]))
        wire = wire[length:]
    return found


def test_opens_a_window_over_the_screen():
    opcodes = [opcode for opcode, _ in requests(x11.open_window(SCREEN, 800, 480))]
    assert opcodes == [1, 55, 8, 101]
    create = requests(x11.open_window(SCREEN, 800, 480))[0][1]
    assert struct.unpack_from("<IIhhHH", create) == (0x200001, 0x123, 0, 0, 800, 480)


def test_neighbours_of_one_colour_share_a_request():
    fills = [Fill(Box(n, 0, 1, 1), Colour.INK) for n in range(3)] + [Fill(Box(9, 9, 2, 3), Colour.GO)]
    found = requests(x11.draw(SCREEN, fills))
    assert [opcode for opcode, _ in found] == [56, 70, 56, 70]
    assert len(found[1][1]) == 8 + 3 * 8
    assert struct.unpack_from("<hhHH", found[3][1], 8) == (9, 9, 2, 3)
    assert struct.unpack("<III", found[2][1]) == (0x200002, 4, 0x1F7A4D)


def test_many_rectangles_are_cut_into_requests_that_fit():
    fills = [Fill(Box(0, 0, 1, 1), Colour.INK)] * (x11.MAX_RECTANGLES + 1)
    assert [opcode for opcode, _ in requests(x11.draw(SCREEN, fills))] == [56, 70, 70]


def event(kind: int, detail: int = 0, state: int = 0, x: int = 0, y: int = 0) -> bytes:
    return struct.pack("<BBHIIIIhhhhHBx", kind, detail, 0, 0, 0, 0, 0, 0, 0, x, y, state, 1)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (event(4, 1, x=10, y=20), Touch(down=True, x=10, y=20)),
        (event(5, 1, x=-3, y=20), Touch(down=False, x=-3, y=20)),
        (event(4, 3), None),
        (event(2, 38, state=1), Key(38, shift=True, lock=False)),
        (event(2 | 0x80, 38, state=2), Key(38, shift=False, lock=True)),
        (event(99), None),
    ],
)
def test_events(message: bytes, meaning: object):
    assert x11.parse(SCREEN, message) == meaning


def test_exposure_keyboard_change_and_errors():
    assert isinstance(x11.parse(SCREEN, event(12)), Exposed)
    assert isinstance(x11.parse(SCREEN, event(34)), KeyboardChanged)
    with pytest.raises(XError, match="X error 9 on request 70"):
        x11.parse(SCREEN, struct.pack("<BBHIHB21x", 0, 9, 1, 0, 0, 70))


def test_keyboard_reply_gives_keysyms():
    symbols = struct.pack("<6I", 0x61, 0x41, 0x31, 0x21, 0xFF0D, 0)
    reply = struct.pack("<BBHI24x", 1, 2, 0, 6)
    assert x11.reply_length(reply) == 24
    keyboard = x11.parse(SCREEN, reply + symbols)
    assert isinstance(keyboard, Keyboard)

    def keysym(code: int, *, shift: bool = False, lock: bool = False) -> int:
        return keyboard.keysym(Key(code, shift, lock))

    assert [keysym(8), keysym(8, shift=True), keysym(8, lock=True), keysym(8, shift=True, lock=True)] == [
        0x61, 0x41, 0x41, 0x61,
    ]  # fmt: skip
    assert [keysym(9), keysym(9, shift=True), keysym(9, lock=True)] == [0x31, 0x21, 0x31]
    assert [keysym(10), keysym(10, shift=True), keysym(200)] == [0xFF0D, 0xFF0D, 0]


def test_reply_out_of_proportion_is_refused():
    assert x11.reply_length(event(4)) == 0
    with pytest.raises(XError):
        x11.reply_length(struct.pack("<BBHI24x", 1, 0, 0, 1 << 30))
