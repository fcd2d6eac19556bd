from __future__ import annotations

import hashlib

import pytest

from panelgate.log import Secret
from panelgate.response import ResponseHead
from webproxy.forward import credentials
from webproxy.forward.credentials import Credentials, SignIn, Verdict, challenges

MUFASA: Credentials = ("Mufasa", Secret("Circle of Life"))
_SAID = (
    b'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%b, '
    b'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC7616 = [_SAID % b"SHA-256", _SAID % b"MD5"]
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
GET = b"GET /dir/index.html HTTP/1.1\r\nHost: x\r\nAuthorization: Basic browser\r\n\r\n"


def answer(*values: bytes, status: int = 401, name: bytes = b"WWW-Authenticate") -> ResponseHead:
    head = ResponseHead((1, 1), status, b"")
    head.headers = [(name.lower(), name, value) for value in values]
    return head


def digest(*values: bytes, cnonce: str = CNONCE) -> SignIn:
    sign_in = SignIn("digest", lambda: cnonce)
    assert sign_in.judge(answer(*values), last=False) is Verdict.AGAIN
    return sign_in


def line(request: bytes) -> bytes:
    (found,) = [row for row in request.split(b"\r\n") if row.lower().startswith(b"authorization:")]
    return found


def params(request: bytes) -> dict[bytes, bytes]:
    head = answer(line(request).partition(b": ")[2])
    (one,) = challenges(head)
    return one.params


def test_rfc_7616_section_3_9_1() -> None:
    given = params(digest(RFC7616[1]).signed(GET, MUFASA))
    assert given[b"response"] == b"8ca523f5e9506fed4657c9700eebdbec"
    assert given[b"nc"] == b"00000001"
    assert given[b"uri"] == b"/dir/index.html"
    assert given[b"opaque"] == b"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    # Both offered: the stronger is taken.
    given = params(digest(RFC7616[1], RFC7616[0]).signed(GET, MUFASA))
    assert given[b"algorithm"] == b"SHA-256"
    assert given[b"response"] == b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def test_rfc_2617_section_3_5() -> None:
    sign_in = digest(
        b'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        b'opaque="5ccc069c403ebaf9f0171e9517f40e41"',
        cnonce="0a4f113b",
    )
    given = params(sign_in.signed(GET, ("Mufasa", Secret("Circle Of Life"))))
    assert given[b"response"] == b"6629fae49393a05397450978507c4ef1"
    assert b"algorithm" not in given


def test_rfc_2069_without_qop() -> None:
    sign_in = digest(b'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5cc"')
    given = params(sign_in.signed(GET, ("Mufasa", Secret("CircleOfLife"))))
    # RFC 2069 section 2.4, with its erratum.
    assert given[b"response"] == b"1949323746fe6a43ef61f9606e7febea"
    assert b"nc" not in given


@pytest.mark.parametrize(("name", "make"), [(b"MD5-sess", "md5"), (b"SHA-256-sess", "sha256")])
def test_session_keys_keep_their_first_cnonce(name: bytes, make: str) -> None:
    def h(text: str) -> str:
        return hashlib.new(make, text.encode()).hexdigest()

    sign_in = digest(b'Digest realm="r", qop=auth, algorithm=' + name + b', nonce="n"', cnonce="c")
    for count in ("00000001", "00000002"):
        given = params(sign_in.signed(GET, ("u", Secret("p"))))
        key = h(f"{h('u:r:p')}:n:c")
        assert given[b"nc"].decode() == count
        assert given[b"response"].decode() == h(f"{key}:n:{count}:c:auth:{h('GET:/dir/index.html')}")


def test_the_target_is_hashed_as_it_is_sent() -> None:
    sign_in = digest(b'Digest realm="r", nonce="n"')
    target = b"/a%2fb//..;x?q=%41+b|c"
    given = params(sign_in.signed(b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", ("u", Secret("p"))))
    assert given[b"uri"] == target
    a2 = hashlib.md5(b"PUT:" + target).hexdigest()
    assert (
        given[b"response"].decode() == hashlib.md5(f"{hashlib.md5(b'u:r:p').hexdigest()}:n:{a2}".encode()).hexdigest()
    )


def test_basic_takes_the_place_of_the_browsers_own() -> None:
    signed = SignIn("basic").signed(GET, ("öl", Secret("geheim:1")))
    assert line(signed) == b"Authorization: Basic w7ZsOmdlaGVpbTox"
    assert b"browser" not in signed
    assert b"browser" not in SignIn("basic").signed(GET, None)
    assert b"browser" not in SignIn("digest").signed(GET, MUFASA)


def test_what_a_401_means() -> None:
    basic = SignIn("basic")
    assert basic.judge(answer(b'Basic realm="x"'), last=False) is Verdict.REFUSED
    assert basic.judge(answer(b"NTLM", b"Negotiate"), last=False) is Verdict.OTHER
    assert basic.judge(answer(), last=False) is Verdict.PASS
    sign_in = digest(RFC7616[1])
    assert sign_in.judge(answer(RFC7616[1]), last=True) is Verdict.REFUSED
    # A device, or somebody in between, that asks for less gets nothing.
    assert SignIn("digest").judge(answer(b'Basic realm="x"'), last=False) is Verdict.OTHER
    only_int = b'Digest realm="r", nonce="n", qop="auth-int"'
    assert SignIn("digest").judge(answer(only_int), last=False) is Verdict.OTHER
    assert SignIn("digest").judge(answer(b'Digest realm="r", nonce="n", algorithm=X'), last=False) is Verdict.OTHER
    assert SignIn("digest").judge(answer(b'Digest nonce="n"'), last=False) is Verdict.OTHER
    huge = b'Digest realm="r", nonce="' + b"n" * 5000 + b'"'
    assert SignIn("digest").judge(answer(huge), last=False) is Verdict.OTHER


def test_stale_and_nextnonce_begin_to_count_anew() -> None:
    sign_in = digest(b'Digest realm="r", nonce="one", qop="auth"')
    assert params(sign_in.signed(GET, MUFASA))[b"nc"] == b"00000001"
    assert params(sign_in.signed(GET, MUFASA))[b"nc"] == b"00000002"
    stale = answer(b'Digest realm="r", nonce="two", qop="auth", stale=true')
    assert sign_in.judge(stale, last=False) is Verdict.AGAIN
    given = params(sign_in.signed(GET, MUFASA))
    assert (given[b"nonce"], given[b"nc"]) == (b"two", b"00000001")
    info = answer(b'rspauth="x", nextnonce="three", nc=00000001', status=200, name=b"Authentication-Info")
    sign_in.learn(info)
    given = params(sign_in.signed(GET, MUFASA))
    assert (given[b"nonce"], given[b"nc"]) == (b"three", b"00000001")
    sign_in.learn(info)
    assert params(sign_in.signed(GET, MUFASA))[b"nc"] == b"00000002"
    sign_in.learn(answer(b'nextnonce="%b"' % (b"n" * 3000), status=200, name=b"Authentication-Info"))
    assert params(sign_in.signed(GET, MUFASA))[b"nonce"] == b"three"


def test_names_outside_ascii() -> None:
    plain = digest(b'Digest realm="r", nonce="n"')
    assert params(plain.signed(GET, ("Müller", Secret("x"))))[b"username"] == "Müller".encode("latin-1")
    utf8 = digest(b'Digest realm="r", nonce="n", charset=UTF-8')
    assert params(utf8.signed(GET, ("Müller", Secret("x"))))[b"username"] == "Müller".encode()
    quoted = digest(b'Digest realm="r", nonce="n"')
    assert b'username="a\\"b\\\\"' in quoted.signed(GET, ('a"b\\', Secret("x")))
    hashed = digest(b'Digest realm="r", nonce="n", userhash=true')
    given = params(hashed.signed(GET, ("u", Secret("x"))))
    assert given[b"username"] == hashlib.md5(b"u:r").hexdigest().encode()


def test_challenges_are_told_apart() -> None:
    head = answer(
        b'Basic realm="a, b", Digest realm="x\\"y", nonce=abc , qop="auth",NTLM', b"Negotiate YII=, Bearer", b'"junk, ='
    )
    found = challenges(head)
    assert [(one.scheme, one.token) for one in found] == [
        (b"basic", b""), (b"digest", b""), (b"ntlm", b""), (b"negotiate", b"YII="), (b"bearer", b"")
    ]  # fmt: skip
    assert found[0].params == {b"realm": b"a, b"}
    assert found[1].params == {b"realm": b'x\\"y', b"nonce": b"abc", b"qop": b"auth"}


def test_the_browser_sees_nothing_of_it() -> None:
    head = answer(b'Basic realm="x"')
    head.headers += answer(b'rspauth="1"', name=b"Authentication-Info").headers
    head.headers += [(b"etag", b"ETag", b'"1"')]
    assert [name for name, _, _ in credentials.shown(head).headers] == [b"etag"]
    clean = answer(b"x", name=b"ETag")
    assert credentials.shown(clean) is clean


def test_refused_ones_are_not_tried_by_every_file() -> None:
    sign_in = SignIn("basic")
    assert not sign_in.is_refused(MUFASA, 10.0)
    sign_in.note_refused(MUFASA, 10.0)
    assert sign_in.is_refused(MUFASA, 11.0)
    assert not sign_in.is_refused(("Mufasa", Secret("corrected")), 11.0)
    assert not sign_in.is_refused(MUFASA, 10.0 + credentials.REFUSED_SECONDS)


def test_the_password_is_in_no_repr() -> None:
    sign_in = digest(RFC7616[0])
    assert "Circle" not in repr((sign_in, vars(sign_in), MUFASA))
