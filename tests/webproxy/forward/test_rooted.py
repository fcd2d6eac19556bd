from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward.rooted import Styles, below, candidates, field, style

ROOT = b"/hmi--press--acme"


@pytest.mark.parametrize(("address", "made"), [
    (b"/", ROOT + b"/"), (b"/a/b?c#d", ROOT + b"/a/b?c#d"), (b"  /a", ROOT + b"/a"), (b"a", b"a"), (b"", b""),
    (b"//cdn.example/x", b"//cdn.example/x"), (b"/\\host", b"/\\host"), (b"http://10.0.0.5/x", b"http://10.0.0.5/x"),
    (b"#top", b"#top"), (b"data:,/x", b"data:,/x"), (b"?q=/x", b"?q=/x"),
    (ROOT, ROOT), (ROOT + b"/a", ROOT + b"/a"), (ROOT + b"-2/a", ROOT + ROOT + b"-2/a"),
])  # fmt: skip
def test_addresses(address: bytes, made: bytes) -> None:
    assert below(ROOT, address) == made


def test_sets_of_addresses() -> None:
    given = b"/a.png 1x, b.png 2x,/c.png 3x, //cdn/x 4x"
    assert candidates(ROOT, given) == b"%b/a.png 1x, b.png 2x,%b/c.png 3x, //cdn/x 4x" % (ROOT, ROOT)


def test_headers() -> None:
    assert field(ROOT, b"/x.map") == ROOT + b"/x.map"
    links = b'</a.css>; rel=preload, <b.js>; rel=x, <//cdn/c>; rel="/y"'
    assert field(ROOT, links) == b'<%b/a.css>; rel=preload, <b.js>; rel=x, <//cdn/c>; rel="/y"' % ROOT


SHEET = b"""@import "/a.css"; @import url( '/b.css' ); p{background:URL(/c.png) url(d.png) url("//cdn/x")}
q{background:url(data:image/png;base64,/9j/4AAQ) curl(/no) url(&quot;/e.png&quot;)} @import '/f.css';"""
DONE = b"""@import "R/a.css"; @import url( 'R/b.css' ); p{background:URL(R/c.png) url(d.png) url("//cdn/x")}
q{background:url(data:image/png;base64,/9j/4AAQ) curl(/no) url(&quot;R/e.png&quot;)} @import 'R/f.css';""".replace(
    b"R/", ROOT + b"/"
)


def test_a_style_sheet() -> None:
    assert style(ROOT, SHEET) == DONE


@given(st.lists(st.integers(0, len(SHEET))))
def test_a_style_sheet_in_pieces(cuts: list[int]) -> None:
    made, out, last = Styles(ROOT), b"", 0
    for cut in sorted(cuts):
        out += made.feed(SHEET[last:cut])
        last = cut
    assert out + made.feed(SHEET[last:]) + made.finish() == DONE


@given(st.text("@import url(\"'/\\&quot;) \n", max_size=80), st.integers(0, 80))
def test_no_split_makes_a_difference(text: str, cut: int) -> None:
    data = text.encode()
    made = Styles(ROOT)
    assert made.feed(data[:cut]) + made.feed(data[cut:]) + made.finish() == style(ROOT, data)


def test_little_is_held_back() -> None:
    made = Styles(ROOT)
    assert len(made.feed(b"p{color:red}" * 100)) > 1100
