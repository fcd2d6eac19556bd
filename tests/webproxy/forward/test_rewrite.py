from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webproxy.forward.rewrite import Addresses, Replacer

PUBLIC = "https://hmi--press--acme.apps.example:8443"
CAMERA = "https://cam--press--acme.apps.example:8443"
SOCKET = PUBLIC + "/.pg/companion/socket"
KNOWN = {
    ("http", "10.0.0.5", 80): PUBLIC, ("http", "10.0.0.5", 8080): SOCKET, ("https", "10.0.0.5", 443): CAMERA,
    ("http", "fd00::5", 80): PUBLIC, ("http", "panel.plant", 81): PUBLIC,
}  # fmt: skip
ALL = Addresses(KNOWN, "http")
WS = PUBLIC.replace("http", "ws")


@pytest.mark.parametrize(("text", "expected"), [
    ("http://10.0.0.5/x", PUBLIC + "/x"), ("HTTP://10.0.0.5:80/x", PUBLIC + "/x"), ("http://10.0.0.5", PUBLIC),
    ("ws://10.0.0.5/ws", WS + "/ws"), ("ws://10.0.0.5:8080", WS + "/.pg/companion/socket"),
    ("https://10.0.0.5/", CAMERA + "/"), ("https://10.0.0.5:443/", CAMERA + "/"),
    ("http://[fd00::5]/", PUBLIC + "/"), ("http://PANEL.plant:81/", PUBLIC + "/"),
    ("src='//10.0.0.5/x'", f"src='{PUBLIC[6:]}/x'"), ("url(//10.0.0.5:8080/a)", f"url({SOCKET[6:]}/a)"),
    (r'"http:\/\/10.0.0.5\/x"', '"' + PUBLIC.replace("/", r"\/") + r'\/x"'),
    (r'"\/\/10.0.0.5\/x"', '"' + PUBLIC[6:].replace("/", r"\/") + r'\/x"'),
    (r'"http:\\\/\\\/10.0.0.5"', '"' + PUBLIC.replace("/", r"\\\/") + '"'),
    (r'"ws:\u002f\u002f10.0.0.5"', '"' + WS.replace("/", r"\u002f") + '"'),
    ("?u=http%3A%2F%2F10.0.0.5%3A8080%2Fx", "?u=" + SOCKET.replace(":", "%3A").replace("/", "%2F") + "%2Fx"),
    ("http%3a%2f%2f10.0.0.5", PUBLIC.replace(":", "%3a").replace("/", "%2f")),
    ("http%253A%252F%252F10.0.0.5", PUBLIC.replace(":", "%253A").replace("/", "%252F")),
    ("http%3A%2F%2F%5Bfd00%3A%3A5%5D", PUBLIC.replace(":", "%3A").replace("/", "%2F")),
    ("http:&#x2F;&#x2F;10.0.0.5", PUBLIC.replace("/", "&#x2F;")), ("see http://10.0.0.5.", f"see {PUBLIC}."),
    ("http://10.0.0.5?a", PUBLIC + "?a"), ("http://10.0.0.5#a", PUBLIC + "#a"),
    ("http://10.0.0.5&amp;", PUBLIC + "&amp;"),
])  # fmt: skip
def test_addresses_in_every_spelling(text: str, expected: str) -> None:
    assert ALL.replace(text.encode()).decode() == expected
    assert ALL.replace(f"<{text}\n".encode()).decode() == f"<{expected}\n"


@pytest.mark.parametrize("text", [
    "http://10.0.0.50/", "http://10.0.0.5:8081/", "http://10.0.0.5:800/", "http://10.0.0.5:80800/", "http://110.0.0.5/",
    "http://10.0.0.5.example/", "http://10.0.0.5-a/", "http://10.0.0.5@evil/", "http://10.0.0.5:80@evil/",
    "https://10.0.0.5:8080/", "https://10.0.0.5:80/", "wss://10.0.0.5:8080/", "http://10a0a0a5/", "10.0.0.5:8080",
    "ftp://10.0.0.5/", "/a//10.0.0.5/", "///10.0.0.5/", "http://10.0.0.5:", "http%3A%2F%2F10.0.0.5%3A8081",
    "http://10.0.0.5%40evil", "http://panel.plant/", "http://fd00::5/", r"http:\//10.0.0.5",
])  # fmt: skip
def test_other_addresses_stay(text: str) -> None:
    assert ALL.replace(text.encode()).decode() == text


def test_a_policy_gets_origins_alone() -> None:
    got = ALL.replace_origins(b"connect-src ws://10.0.0.5:8080 http://10.0.0.5")
    assert got.decode() == f"connect-src {WS} {PUBLIC}"


PIECES = [
    "http://10.0.0.5", "10.0.0.5", "http:", "//", "/", "\\/", "ws://", ":8080", ":80", ":", "0", ".", "a", "https://",
    " ",
    '"', "%3A", "%2F", "http%3A%2F%2F10.0.0.5", "h", "t", "ht", "[fd00::5]", "\\u002f", "&#x2F;", "@",
    "panel.plant:81", "w",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def in_pieces(text: bytes, cuts: list[int], addresses: Addresses = ALL) -> bytes:
    replacer, out, last = Replacer(addresses), b"", 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        out += replacer.feed(text[last:cut])
        assert len(replacer._held) <= addresses.hold_limit
        last = cut
    return out + replacer.finish()


@settings(max_examples=600)
@given(texts, st.lists(st.integers(0, 400), max_size=12))
def test_every_split_gives_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    assert in_pieces(text.encode(), cuts) == ALL.replace(text.encode())


@given(texts)
def test_byte_by_byte(text: str) -> None:
    assert in_pieces(text.encode(), list(range(len(text)))) == ALL.replace(text.encode())


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=12))
def test_any_bytes_pass(data: bytes, cuts: list[int]) -> None:
    assert in_pieces(data, cuts) == ALL.replace(data)


@pytest.mark.parametrize("message", [b'data: {"a": 1}\n\n', b'{"url": "x"}', b"<p>1</p>", b"12.5\n", b"a/b;"])
def test_a_whole_message_is_not_held_back(message: bytes) -> None:
    assert Replacer(ALL).feed(message) == message


def test_what_is_held_back_is_little() -> None:
    replacer = Replacer(ALL)
    text = b"http://10.0.0.5/" + b"a" * 100_000
    assert len(replacer.feed(text)) > 99_000
    replacer = Replacer(ALL)
    assert len(replacer.feed(b"//" * 50_000)) > 99_000


def test_back_to_the_lan() -> None:
    back = ALL.back()
    for public, private in (
        (PUBLIC, "http://10.0.0.5"),
        (SOCKET, "http://10.0.0.5:8080"),
        (CAMERA, "https://10.0.0.5"),
    ):
        assert back.replace(f'"{public}/x"'.encode()).decode() == f'"{private}/x"'
        escaped = public.replace("/", "\\/")
        assert back.replace(f'"{escaped}"'.encode()).decode() == '"' + private.replace("/", "\\/") + '"'
    assert back.replace(f"{WS}/.pg/companion/socket/ws".encode()) == b"ws://10.0.0.5:8080/ws"
    assert back.replace(f"{PUBLIC}/.pg/companion/sockets".encode()) == b"http://10.0.0.5/.pg/companion/sockets"


@given(st.lists(st.sampled_from([*PIECES, PUBLIC, "/.pg/companion/socket", "/.pg/", CAMERA]), max_size=20).map("".join),
       st.lists(st.integers(0, 600), max_size=8))  # fmt: skip
def test_every_split_on_the_way_back(text: str, cuts: list[int]) -> None:
    assert in_pieces(text.encode(), cuts, ALL.back()) == ALL.back().replace(text.encode())
