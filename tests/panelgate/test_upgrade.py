"""The HTTP handshake, strict and bounded."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate import upgrade
from panelgate.errors import BadInput
from panelgate.upgrade import Answer

# RFC 6455 section 1.3's own example
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def head(raw: bytes) -> bytes:
    return raw.partition(upgrade.HEAD_END)[0]


def test_the_rfcs_example() -> None:
    assert upgrade.accept_of(KEY) == ACCEPT


def test_a_request_is_read_as_it_was_written() -> None:
    raw = upgrade.make_request("/v1/control?x=1", "relay:8442", KEY, {"Panelgate-Ticket": "abc.def"})
    request = upgrade.parse_request(head(raw))
    assert request.path == "/v1/control?x=1"
    assert request.headers["panelgate-ticket"] == "abc.def"
    assert request.upgrade
    assert upgrade.check_upgrade(request) == KEY


def test_an_answer_is_checked() -> None:
    answer = upgrade.parse_answer(head(upgrade.make_accept(KEY)))
    upgrade.check_accept(answer, KEY)
    for change in (
        {"sec-websocket-accept": "x"}, {"connection": "close"}, {"upgrade": "h2c"}, {"sec-websocket-extensions": "x"},
    ):  # fmt: skip
        with pytest.raises(BadInput):
            upgrade.check_accept(Answer(101, answer.headers | change), KEY)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.0\r\nHost: x", 400),
        (b"GET /\x01 HTTP/1.1\r\nHost: x", 400),
        (b"GET http://x/ HTTP/1.1\r\nHost: x", 400),
        (b"GET  / HTTP/1.1\r\nHost: x", 400),
        (b"POST / HTTP/1.1\r\nHost: x", 405),
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded", 400),
        (b"GET / HTTP/1.1\r\nHost : x", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", 400),
        (b"GET / HTTP/1.1\r\nHost: x" + b"".join(b"\r\na%d: b" % n for n in range(70)), 431),
        (b"", 400),
    ],
)
def test_refused_requests(raw: bytes, status: int) -> None:
    with pytest.raises(BadInput) as caught:
        upgrade.parse_request(raw)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "change", [{"sec-websocket-version": "8"}, {"sec-websocket-key": "short"}, {"sec-websocket-key": "YQ=="}]
)
def test_refused_upgrades(change: dict[str, str]) -> None:
    request = upgrade.parse_request(head(upgrade.make_request("/", "x", KEY, {})))
    with pytest.raises(BadInput):
        upgrade.check_upgrade(request._replace(headers=request.headers | change))


@pytest.mark.parametrize("raw", [b"", b"HTTP/2 200", b"HTTP/1.1 abc OK", b"SSH-2.0-x"])
def test_answers_that_are_not_http(raw: bytes) -> None:
    with pytest.raises(BadInput):
        upgrade.parse_answer(raw)


def test_headers_and_paths_can_not_smuggle() -> None:
    for path, headers in (("/a b", {}), ("/", {"X": "a\r\nY: b"}), ("/", {"X y": "a"})):
        with pytest.raises(BadInput):
            upgrade.make_request(path, "x", KEY, headers)


def test_other_answers() -> None:
    raw = upgrade.json_answer(404, {"error": {}})
    assert raw.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert raw.endswith(b'{"error": {}}')
    assert upgrade.make_answer(599, "text/plain", b"").startswith(b"HTTP/1.1 599 Answer\r\n")


@given(st.binary(max_size=200))
def test_any_head_is_read_or_refused(raw: bytes) -> None:
    for parse in (upgrade.parse_request, upgrade.parse_answer):
        with contextlib.suppress(BadInput):
            parse(raw)
