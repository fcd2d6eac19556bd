from __future__ import annotations

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate.response import ResponseHead
from webproxy.forward.bodies import filter_of
from webproxy.forward.markup import TAG_LIMIT, Markup, kind_of, rewriters, shim
from webproxy.forward.request import RequestHead
from webproxy.forward.rooted import Styles

ROOT = b"/hmi--press--acme"
SHIM = b"<SHIM>"


def whole(text: bytes, shim: bytes = b"") -> bytes:
    made = Markup(ROOT, shim)
    return made.feed(text) + made.finish()


def in_pieces(text: bytes, cuts: list[int], shim: bytes = b"") -> bytes:
    made, out, last = Markup(ROOT, shim), b"", 0
    for cut in sorted(cuts):
        out += made.feed(text[last:cut])
        last = cut
    return out + made.feed(text[last:]) + made.finish()


@pytest.mark.parametrize(("given", "made"), [
    ('<a href="/x">', '<a href="R/x">'), ("<A HREF='/x' >", "<A HREF='R/x' >"), ("<a href=/x>", "<a href=R/x>"),
    ("<a href = /x/>", "<a href = R/x/>"), ("<a href=/>", "<a href=R/>"),
    ('<a href="/x"title="/y">', '<a href="R/x"title="/y">'), ('<a href="x" title=/y>', '<a href="x" title=/y>'),
    ("<img src=/a srcset='/a 1x,/b 2x'>", "<img src=R/a srcset='R/a 1x,R/b 2x'>"),
    ("<form action=/set method=post><button formaction='/go'>",
        "<form action=R/set method=post><button formaction='R/go'>"),
    ("<video poster=/p src=/v>", "<video poster=R/p src=R/v>"), ("<object data=/o>", "<object data=R/o>"),
    ("<div data=/o data-src=/o>", "<div data=/o data-src=/o>"), ("<base href='/'>", "<base href='R/'>"),
    ("<body background=/b style='a:url(/c)'>", "<body background=R/b style='a:url(R/c)'>"),
    ('<p style="a:url(&quot;/c&quot;)">', '<p style="a:url(&quot;R/c&quot;)">'),
    ("<meta http-equiv=refresh content='5; url=/x'>", "<meta http-equiv=refresh content='5; url=R/x'>"),
    ("<meta http-equiv=Refresh content=\"0;URL='/x'\">", "<meta http-equiv=Refresh content=\"0;URL='R/x'\">"),
    ("<meta name=x content=/y>", "<meta name=x content=/y>"),
    ("<meta name=referrer content=no-referrer>", "<meta name=referrer content=same-origin>"),
    ("a<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">b", "ab"),
    ("<link integrity=sha256-x href=/c.css rel=stylesheet>", "<link  href=R/c.css rel=stylesheet>"),
    ("<use xlink:href='/s.svg#a'/>", "<use xlink:href='R/s.svg#a'/>"),
    ("<script src=/a.js>x='<a href=/b>'</script><a href=/c>",
        "<script src=R/a.js>x='<a href=/b>'</script><a href=R/c>"),
    ("<style>@import '/a';b{c:url(/d)}</style>", "<style>@import 'R/a';b{c:url(R/d)}</style>"),
    ("<STYLE>b{c:url(/d)}</Style ><a href=/e>", "<STYLE>b{c:url(R/d)}</Style ><a href=R/e>"),
    ("<textarea><a href=/x></textarea><title><a href=/y></title>",) * 2,
    ("<!-- <a href=/x> --><a href=/y>", "<!-- <a href=/x> --><a href=R/y>"),
    ("<!--><a href=/y>", "<!--><a href=R/y>"), ("<!---><a href=/y>", "<!---><a href=R/y>"),
    ("<!-- --!><a href=/y>", "<!-- --!><a href=R/y>"), ("<!-- <a href=/y>",) * 2,
    ("<!doctype html><?x a href=/b?></ a href=/x></p href=/x>",) * 2,
    ("1 < 2 <3 <a href=/x> </", "1 < 2 <3 <a href=R/x> </"),
    ("<a href='/x", ) * 2, ("<a href='/x>b'>", "<a href='R/x>b'>"),
    ("<a =href=/x href=/y>", "<a =href=/x href=R/y>"), ('<a a"b href=/y>', '<a a"b href=R/y>'),
    ("<a href=>/x", "<a href=>/x"), ("<a/href=/x/y>", "<a/href=R/x/y>"),
])  # fmt: skip
def test_markup(given: str, made: str) -> None:
    assert whole(given.encode()).decode() == re.sub(r"R/", ROOT.decode() + "/", made)


PAGE = b"""<!DOCTYPE html>\n<!-- x --><html lang=en><head data-a="b>c"><title>/a</title><base href="/">
<link rel=stylesheet href=/a.css><style>a{b:url(/c)}</style><script src="/d.js"></script><script>"<a href=/no>"</script>
</head><body><a href='/e'>/f</a><img srcset="/g 1x, /h 2x"><p>1<2</p></body></html>"""


@given(st.lists(st.integers(0, len(PAGE))))
def test_a_page_in_pieces(cuts: list[int]) -> None:
    assert in_pieces(PAGE, cuts, SHIM) == whole(PAGE, SHIM)


@given(
    st.lists(st.sampled_from(["<", ">", "/", "=", '"', "'", " ", "!--", "-->", "a", "href", "style", "script", "head",
        "url(", "meta", "x", "</style>", "</script>", "<a href=/x>", "<!", "?", "\n"]), max_size=30).map("".join),
    st.lists(st.integers(0, 150), max_size=8),
)  # fmt: skip
def test_no_split_makes_a_difference(text: str, cuts: list[int]) -> None:
    data = text.encode()
    assert in_pieces(data, [min(cut, len(data)) for cut in cuts], SHIM) == whole(data, SHIM)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_pass(data: bytes, cut: int) -> None:
    assert in_pieces(data, [min(cut, len(data))]) == whole(data)


@pytest.mark.parametrize(("text", "made"), [
    ("<!doctype html><html><head><title>", "<!doctype html><html><head>S<title>"),
    ("\ufeff <!-- c --> <html>\n<body>", "\ufeff <!-- c --> <html>\nS<body>"),
    ("<p>x", "S<p>x"), ("  text <b>", "  Stext <b>"), ("<frameset>", "S<frameset>"), ("<HEAD>", "<HEAD>S"), ("", ""),
    ("<script>1</script><head>", "S<script>1</script><head>"), ("</p><header>", "</p>S<header>"),
])  # fmt: skip
def test_where_our_script_stands(text: str, made: str) -> None:
    assert whole(text.encode(), b"S").decode() == made


def test_a_page_comes_as_fast_as_it_can() -> None:
    made = Markup(ROOT)
    assert made.feed(b"<p>10:00</p><p>10:0") == b"<p>10:00</p><p>10:0"
    assert made.feed(b"<a href") == b""
    assert made.feed(b"=/x>1") == b"<a href=" + ROOT + b"/x>1"


@pytest.mark.parametrize("begin", [b"<img src='data:", b"<!doctype ", b"<a " + b"x " * 10])
def test_what_is_held_is_bounded(begin: bytes) -> None:
    text = begin + b"y" * (3 * TAG_LIMIT) + b"'><a href=/x>"
    made, out, held = Markup(ROOT), b"", 0
    for at in range(0, len(text), 1000):
        out += made.feed(text[at : at + 1000])
        held = max(held, at + 1000 - len(out))
    assert held <= TAG_LIMIT + 1000
    assert out + made.finish() == text.replace(b"=/x", b"=" + ROOT + b"/x") == whole(text)


def test_a_tag_that_comes_byte_by_byte_is_read_once() -> None:
    """Read anew from its beginning for each byte, this took minutes."""
    text = b"<a " + b"b " * (TAG_LIMIT // 2 - 10) + b"href=/x>"
    assert in_pieces(text, list(range(len(text)))).endswith(b"href=" + ROOT + b"/x>")


def head(kind: str, **more: str) -> ResponseHead:
    made = ResponseHead((1, 1), 200, b"OK")
    for name, value in {"content_type": kind, **more}.items():
        made.headers.append((name.replace("_", "-").encode(), b"", value.encode()))
    return made


@pytest.mark.parametrize(("kind", "what"), [
    ("text/html", "html"), ("Text/HTML; charset=x", "html"), ("application/xhtml+xml", "html"),
    ("image/svg+xml", "html"),
    ("text/css", "css"), ("text/javascript", ""), ("application/json", ""), ("text/html; charset=utf-16", ""), ("", ""),
])  # fmt: skip
def test_kinds(kind: str, what: str) -> None:
    assert kind_of(head(kind)) == what


def test_files_to_save_stay_as_they_are() -> None:
    assert kind_of(head("text/html", content_disposition="attachment; filename=backup.html")) == ""
    assert kind_of(ResponseHead((1, 1), 200, b"OK")) == ""


def asked(dest: bytes = b"", mode: bytes = b"navigate") -> RequestHead:
    made = RequestHead(b"GET", b"/", "1.1")
    made.dest, made.mode = dest, mode
    return made


@pytest.mark.parametrize(("kind", "request_head", "begins"), [
    ("text/html", asked(b"document"), b"<script"), ("text/html", asked(b"iframe"), b"<script"),
    ("text/html", asked(b"", b""), b"<script"), ("text/html", asked(b"empty", b"cors"), b"<p>"),
    ("image/svg+xml", asked(b"document"), b"<p>"),
])  # fmt: skip
def test_only_pages_get_our_script(kind: str, request_head: RequestHead, begins: bytes) -> None:
    (made,) = rewriters(ROOT, head(kind), request_head)
    assert made.feed(b"<p>").startswith(begins)


def test_style_sheets_and_all_else() -> None:
    (made,) = rewriters(ROOT, head("text/css"), asked(b"style", b"no-cors"))
    assert isinstance(made, Styles)
    assert rewriters(ROOT, head("text/javascript"), asked()) == []


def test_what_a_page_gets() -> None:
    text = shim(ROOT, "/.pg/static/js/below.js?v=1&2").decode()
    assert text.startswith('<script src="/.pg/static/js/below.js?v=1&amp;2" data-root="/hmi--press--acme"></script>')
    found = re.search(r'<script type="importmap">(.*)</script>', text)
    assert found is not None
    imports = json.loads(found[1])["imports"]
    assert imports["/"] == imports["/hmi--press--acme/"] == "/hmi--press--acme/"


def test_a_compressed_page() -> None:
    made = filter_of(None, head("text/html", content_encoding="gzip"), Markup(ROOT, SHIM))
    assert made.begin(gzip.compress(PAGE), last=True) == whole(PAGE, SHIM)
    assert made.done
