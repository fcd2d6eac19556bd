"""Conversations with panels as lists of bytes; then the same with arbitrary fragments and hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward import vncauth
from webproxy.forward.rfb import (
    BROWSER_GREETING,
    MAX_TEXT,
    BadClient,
    BrowserHandshake,
    Failure,
    PanelHandshake,
    Step,
    Trouble,
    printable,
    type_words,
    version_of,
)

CHALLENGE = bytes(range(16))
OK, FAILED, TOO_MANY = (0).to_bytes(4, "big"), (1).to_bytes(4, "big"), (2).to_bytes(4, "big")
PASSWORD = "plc12345"
ANSWER = vncauth.response(PASSWORD, CHALLENGE)


def text(reason: str) -> bytes:
    data = reason.encode()
    return len(data).to_bytes(4, "big") + data


def talk(data: bytes, password: str | None = PASSWORD, cuts: tuple[int, ...] = ()) -> PanelHandshake:
    """Feed all bytes of a panel, cut at the given places."""
    handshake = PanelHandshake(password)
    at = 0
    for cut in (*sorted(c for c in cuts if c <= len(data)), len(data)):
        handshake.feed(data[at:cut])
        at = cut
    return handshake


ACCEPTED = [
    pytest.param(b"RFB 003.008\n\x01\x02" + CHALLENGE + OK, b"RFB 003.008\n\x02" + ANSWER, id="3.8 password"),
    pytest.param(b"RFB 003.008\n\x02\x01\x02" + CHALLENGE + OK, b"RFB 003.008\n\x02" + ANSWER, id="3.8 both offered"),
    pytest.param(b"RFB 003.008\n\x03\x13\x10\x01" + OK, b"RFB 003.008\n\x01", id="3.8 none"),
    pytest.param(b"RFB 003.007\n\x01\x02" + CHALLENGE + OK, b"RFB 003.007\n\x02" + ANSWER, id="3.7 password"),
    pytest.param(b"RFB 003.007\n\x01\x01", b"RFB 003.007\n\x01", id="3.7 none has no result"),
    pytest.param(b"RFB 003.003\n\0\0\0\x02" + CHALLENGE + OK, b"RFB 003.003\n" + ANSWER, id="3.3 password"),
    pytest.param(b"RFB 003.003\n\0\0\0\x01", b"RFB 003.003\n", id="3.3 none has no result"),
    pytest.param(b"RFB 003.005\n\0\0\0\x02" + CHALLENGE + OK, b"RFB 003.003\n" + ANSWER, id="3.5 is 3.3"),
    pytest.param(b"RFB 003.889\n\x02\x1e\x02" + CHALLENGE + OK, b"RFB 003.008\n\x02" + ANSWER, id="Apple's 3.889"),
    pytest.param(b"RFB 005.000\n\x02\x05\x01" + OK, b"RFB 003.008\n\x01", id="RealVNC 5"),
]

REFUSED = [
    pytest.param(
        b"RFB 003.008\n\x01\x02" + CHALLENGE + FAILED + text("Authentication failure"),
        Failure(Trouble.PASSWORD_WRONG, "Authentication failure"),
        id="wrong password, 3.8",
    ),
    pytest.param(
        b"RFB 003.007\n\x01\x02" + CHALLENGE + FAILED, Failure(Trouble.PASSWORD_WRONG), id="wrong password, 3.7"
    ),
    pytest.param(
        b"RFB 003.003\n\0\0\0\x02" + CHALLENGE + FAILED, Failure(Trouble.PASSWORD_WRONG), id="wrong password, 3.3"
    ),
    pytest.param(
        b"RFB 003.003\n\0\0\0\x02" + CHALLENGE + TOO_MANY,
        Failure(Trouble.REFUSED, "Too many attempts"),
        id="locked, 3.3",
    ),
    pytest.param(
        b"RFB 003.008\n\0" + text("Too many security failures"),
        Failure(Trouble.REFUSED, "Too many security failures"),
        id="locked, 3.8",
    ),
    pytest.param(
        b"RFB 003.003\n\0\0\0\0" + text("Server is busy"), Failure(Trouble.REFUSED, "Server is busy"), id="busy, 3.3"
    ),
    pytest.param(
        b"RFB 003.008\n\x02\x13\x4d", Failure(Trouble.NO_COMMON_TYPE, "VeNCrypt (TLS) [19], type 77"), id="TLS only"
    ),
    pytest.param(b"RFB 003.003\n\0\0\x02\0", Failure(Trouble.NO_COMMON_TYPE, "type 512"), id="an impossible type, 3.3"),
    pytest.param(b"SSH-2.0-dropbear\r\n", Failure(Trouble.NOT_VNC, "SSH-2.0-dropbear"), id="SSH"),
    pytest.param(b"RFB 3.8 hello", Failure(Trouble.NOT_VNC, "RFB 3.8 hell"), id="almost VNC"),
    pytest.param(b"\xff\xfd\x03", Failure(Trouble.NOT_VNC, "ÿý"), id="telnet"),
]


@pytest.mark.parametrize(("data", "sent"), ACCEPTED)
def test_accepted(data: bytes, sent: bytes) -> None:
    handshake = talk(data + b"ServerInit")
    assert handshake.done
    assert handshake.take_output() == sent + b"\x01"  # ClientInit, always shared
    assert handshake.take_output() == b""
    assert handshake.rest == b"ServerInit"


@pytest.mark.parametrize(("data", "sent"), ACCEPTED)
@given(cuts=st.lists(st.integers(0, 60), max_size=60))
def test_accepted_in_any_fragments(data: bytes, sent: bytes, cuts: list[int]) -> None:
    handshake = talk(data + b"tail", cuts=tuple(cuts))
    assert (handshake.done, handshake.take_output(), handshake.rest) == (True, sent + b"\x01", b"tail")


@pytest.mark.parametrize(("data", "failure"), REFUSED)
def test_refused(data: bytes, failure: Failure) -> None:
    handshake = talk(data)
    assert handshake.failure == failure
    assert not handshake.done
    assert handshake.ended() == failure
    handshake.feed(b"RFB 003.008\n\x01\x02" + CHALLENGE)
    assert handshake.take_output().count(ANSWER) <= 1
    assert handshake.rest == b""


def test_without_a_stored_password_nothing_is_tried() -> None:
    handshake = talk(b"RFB 003.008\n\x01\x02", password=None)
    assert handshake.failure == Failure(Trouble.PASSWORD_MISSING)
    assert handshake.take_output() == b"RFB 003.008\n"
    assert talk(b"RFB 003.008\n\x02\x02\x01" + OK, password=None).done


def test_the_answer_waits_for_the_panel() -> None:
    handshake = PanelHandshake(PASSWORD)
    assert handshake.take_output() == b""
    handshake.feed(b"RFB 003.008\n")
    assert handshake.take_output() == b"RFB 003.008\n"
    handshake.feed(b"\x01\x02")
    assert handshake.take_output() == b"\x02"
    handshake.feed(CHALLENGE)
    assert handshake.take_output() == ANSWER
    assert handshake.step is Step.RESULT


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"", Failure(Trouble.REFUSED)),
        (b"RF", Failure(Trouble.NOT_VNC, "RF")),
        (b"RFB 003.008\n", Failure(Trouble.REFUSED)),
        (b"RFB 003.003\n\0\0\0\x02" + CHALLENGE, Failure(Trouble.PASSWORD_WRONG)),
        (b"RFB 003.008\n\x01\x02" + CHALLENGE + FAILED, Failure(Trouble.PASSWORD_WRONG)),
        (b"RFB 003.008\n\0\0\0\0\x20Too m", Failure(Trouble.REFUSED, "Too m")),
        (b"RFB 003.008\n\x01\x01" + FAILED + bytes(4), Failure(Trouble.REFUSED)),
    ],
)
def test_a_panel_that_hangs_up(data: bytes, failure: Failure) -> None:
    assert talk(data).ended() == failure


def test_an_endless_reason_is_cut() -> None:
    handshake = talk(b"RFB 003.008\n\0\xff\xff\xff\xff" + b"x" * 10_000)
    assert handshake.failure == Failure(Trouble.REFUSED, "x" * MAX_TEXT)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_hostile_bytes(data: bytes, cuts: list[int]) -> None:
    for start in (b"", b"RFB 003.008\n", b"RFB 003.003\n", b"RFB 003.008\n\x01\x02", b"RFB 003.007\n\0"):
        handshake = talk(start + data, cuts=tuple(cuts))
        assert len(handshake._buffer) <= max(MAX_TEXT, len(data))
        if not handshake.done:
            said = handshake.ended().said
            assert said == "" or said.isprintable()
            assert len(said) <= MAX_TEXT * 8


def test_the_password_does_not_show() -> None:
    assert PASSWORD not in repr(PanelHandshake(PASSWORD))


@pytest.mark.parametrize("banner", [b"RFB 003.008 ", b"RFB 003,008\n", b"RFB 00x.008\n", b"rfb 003.008\n", b"RFB"])
def test_no_banner(banner: bytes) -> None:
    with pytest.raises(ValueError, match="banner"):
        version_of(banner)


def test_words() -> None:
    assert printable(b"Zu viele\r\n\0Versuche \xfc") == "Zu viele Versuche ü"
    assert printable("zurück".encode()) == "zurück"
    assert type_words(b"\x1e\x1e\xc8") == "Apple Remote Desktop [30], type 200"


BROWSER = b"RFB 003.008\n\x01\x00"


@given(st.lists(st.integers(0, 20), max_size=10), st.sampled_from([0, 1, 7, 255]))
def test_browser_in_any_fragments(cuts: list[int], shared: int) -> None:
    handshake, at, rest = BrowserHandshake(), 0, b""
    data = BROWSER[:-1] + bytes([shared]) + b"\x03tail"
    for cut in (*sorted(c for c in cuts if c <= len(data)), len(data)):
        rest += handshake.feed(data[at:cut])
        at = cut
    assert handshake.done
    assert rest == b"\x03tail"


@pytest.mark.parametrize("data", [b"RFB 003.003\n", b"GET / HTTP/1", b"RFB 003.008\n\x02"])
def test_browser_with_other_ideas(data: bytes) -> None:
    with pytest.raises(BadClient):
        BrowserHandshake().feed(data)


def test_no_password_travels_to_the_browser() -> None:
    assert (b"RFB 003.008\n", b"\x01\x01", bytes(4)) == BROWSER_GREETING
