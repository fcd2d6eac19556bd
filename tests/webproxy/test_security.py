from __future__ import annotations

import pytest

from webproxy.security import Kind, own_headers


@pytest.mark.parametrize("kind", ["notice", "data", "redirect"])
def test_every_page_of_ours_is_closed(kind: Kind) -> None:
    lines = own_headers(kind, secure=False)
    assert b"Content-Security-Policy: default-src 'none'" in lines
    assert b"frame-ancestors" in lines
    assert b"Cache-Control: private, no-store\r\n" in lines
    assert b"X-Content-Type-Options: nosniff\r\n" in lines
    assert b"unsafe" not in lines
    assert b"Strict-Transport-Security" not in lines
    assert b"Strict-Transport-Security" in own_headers(kind, secure=True)
    assert lines.endswith(b"\r\n")
