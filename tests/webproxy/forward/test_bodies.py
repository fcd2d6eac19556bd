from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate.response import ResponseHead
from webproxy.forward.bodies import MEMBERS_LIMIT, PIECE, BadBody, BodyFilter, coding_of, filter_of, is_text
from webproxy.forward.rewrite import Addresses

PUBLIC = "https://hmi.apps.example"
ALL = Addresses({("http", "10.0.0.5", 80): PUBLIC}, "http")
TEXT = b"<a href=http://10.0.0.5/x>" * 50
EXPECTED = TEXT.replace(b"http://10.0.0.5", PUBLIC.encode())


def head(kind: str = "text/html", status: int = 200, **more: str) -> ResponseHead:
    made = ResponseHead((1, 1), status, b"OK")
    for name, value in {"content_type": kind, **more}.items():
        made.headers.append((name.replace("_", "-").encode(), b"", value.encode()))
    return made


def through(body: bytes, cuts: list[int], bits: int) -> bytes:
    made, out, last = BodyFilter(ALL, bits), b"", 0
    for cut in sorted(cut % (len(body) + 1) for cut in cuts):
        made.feed(body[last:cut], last=False)
        while piece := made.take():
            out += piece
        last = cut
    made.feed(body[last:], last=True)
    while piece := made.take():
        out += piece
    assert made.done
    assert made.take() == b""
    return out


@pytest.mark.parametrize("kind", [
    "text/html", "TEXT/HTML; charset=utf-8", "text/css", "text/javascript;charset=iso-8859-1", "application/json",
    "application/javascript", "application/xml", "application/vnd.api+json", "image/svg+xml", "text/plain", "text/xml",
    "application/xhtml+xml", "text/event-stream", "text/html; charset=windows-1252",
])  # fmt: skip
def test_texts(kind: str) -> None:
    assert is_text(head(kind))


@pytest.mark.parametrize("kind", [
    "image/png", "application/octet-stream", "text/html; charset=utf-16", "text/html;charset=UTF-16LE", "video/mp4",
    "application/json; charset=utf-32", "text/csv", "application/pdf", "multipart/x-mixed-replace", "font/woff2", "",
])  # fmt: skip
def test_no_texts(kind: str) -> None:
    assert not is_text(head(kind))


def test_a_part_and_a_file_to_save_stay_as_they_are() -> None:
    assert not is_text(head(status=206))
    assert not is_text(head(content_disposition='attachment; filename="backup.json"'))
    assert is_text(head(content_disposition="inline"))
    nothing = head()
    nothing.headers.clear()
    assert not is_text(nothing)


def test_codings() -> None:
    assert [coding_of(head(content_encoding=text)) for text in ("gzip", "x-gzip", "deflate", "br", "gzip, br")] == [
        31, 31, 15, None, None,
    ]  # fmt: skip
    assert coding_of(head()) == 0
    assert filter_of(ALL, head()).begin(TEXT, last=True) == EXPECTED


BARE = zlib.compressobj(wbits=-15)
FORMS = {
    "plain": (0, TEXT),
    "gzip": (31, gzip.compress(TEXT)),
    "two gzip members": (31, gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:])),
    "gzip with junk behind": (31, gzip.compress(TEXT) + b"junk"),
    "zlib": (15, zlib.compress(TEXT)),
    "bare deflate": (15, BARE.compress(TEXT) + BARE.flush()),
}


@pytest.mark.parametrize(("bits", "body"), FORMS.values(), ids=FORMS)
@given(cuts=st.lists(st.integers(0, 2000), max_size=10))
def test_every_coding_in_every_split(bits: int, body: bytes, cuts: list[int]) -> None:
    assert through(body, cuts, bits) == EXPECTED


@pytest.mark.parametrize(
    "body",
    [b"<html>not compressed", gzip.compress(TEXT)[:-20], gzip.compress(TEXT)[:30] + b"x" * 99],
    ids=["plain", "cut short", "broken"],
)
@pytest.mark.parametrize("bits", [31, 15])
def test_what_is_not_compressed_as_said_fails(body: bytes, bits: int) -> None:
    with pytest.raises(BadBody):
        through(body, [], bits)


def test_an_empty_body_is_empty_in_every_coding() -> None:
    for bits in (0, 31, 15):
        assert through(b"", [], bits) == b""


def test_a_bomb_goes_out_in_small_pieces() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    made = BodyFilter(ALL, 31)
    assert len(made.begin(bomb, last=True)) <= 2 * PIECE
    total = 0
    while piece := made.take():
        assert len(piece) <= PIECE + ALL.hold_limit
        total += len(piece)
    assert total > 49_000_000
    assert made.done


def test_endless_members_end() -> None:
    made = BodyFilter(ALL, 31)
    made.feed(gzip.compress(b"") * 5000, last=True)
    assert made.take() == b""
    assert made.done


def test_wide_text_under_a_wrong_label_stays() -> None:
    body = "\ufeffhttp://10.0.0.5/".encode("utf-16-le") + b"http://10.0.0.5/"
    assert through(body, [], 0) == body


def test_members_have_an_end() -> None:
    body = gzip.compress(b"first") + gzip.compress(b"") * MEMBERS_LIMIT + gzip.compress(b"late")
    assert through(body, [], 31) == b"first"


def test_garbage_behind_the_end_is_passed_over() -> None:
    for tail in (b"garbage", bytes(600)):
        assert through(gzip.compress(TEXT) + tail, [], 31) == EXPECTED
