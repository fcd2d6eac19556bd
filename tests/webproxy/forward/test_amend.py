from __future__ import annotations

from webproxy.forward.amend import amended, target_of

REQUEST = b"GET /a?b HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eA==\r\nAUTHORIZATION: y\r\nAccept: */*\r\n\r\n"


def test_lines_go_and_come() -> None:
    done = amended(REQUEST, frozenset({b"authorization"}), b"X-Our: 1\r\n")
    assert done == b"GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Our: 1\r\n\r\n"


def test_nothing_to_do_changes_nothing() -> None:
    assert amended(REQUEST, frozenset(), b"") == REQUEST


def test_the_target_is_what_is_sent() -> None:
    assert target_of(b"POST /%41//b?c=d%20 HTTP/1.1\r\n\r\n") == (b"POST", b"/%41//b?c=d%20")
