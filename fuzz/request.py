"""A browser's bytes on the front's way: what the device gets is one request, framed as read, in nobody else's name."""

from __future__ import annotations

from collections.abc import Iterator

import httptools

from webproxy.forward.headers import CookieTrouble, cookie_line, request_bytes, session_token, split_cookies
from webproxy.forward.request import METHODS, RequestHead, RequestRefused, read
from webproxy.forward.rules import Rules

RULES = Rules.of("http://hmi--press--acme.apps.localhost:8080", "http", "10.0.0.5", 8081)
# Never the browser's to say; a device must not hear them, however they are written.
_OURS = (b"x-forwarded-", b"x_forwarded_", b"forwarded:", b"x-real-ip:", b"x_real_ip:", b"proxy-", b"remote-user:")


class Front:
    """What FrontProtocol keeps of the parser's events; `requests` are those whose head was complete."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn sets it for the front.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.requests: list[tuple[bytes, bytes, str, list[tuple[bytes, bytes]]]] = []
        self.bodies: list[bytes] = []
        self.complete = 0
        self.url = b""
        self.in_head = True
        self.raw: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url, self.raw, self.in_head = b"", [], True

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers are none."""
        if self.in_head:
            self.raw.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self.in_head = False
        parser = self.parser
        self.requests.append((parser.get_method(), self.url, parser.get_http_version(), self.raw))
        self.bodies.append(b"")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        self.complete += 1

    def feed(self, pieces: list[bytes]) -> bool:
        """Read `pieces`; False when they, or what they become, are no HTTP any more."""
        try:
            for piece in pieces:
                self.parser.feed_data(piece)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
                raise cause from None
            return False
        return True


def one(data: bytes) -> None:
    """The first byte says where the bytes of the connection, which are the rest, are cut."""
    if not data:
        return
    cut, wire = data[0] % 61 + 1, data[1:]
    whole, split = Front(), Front()
    whole.feed([wire])
    split.feed([wire[at : at + cut] for at in range(0, len(wire), cut)])
    assert whole.requests == split.requests, "it depends on how the bytes are cut"
    assert whole.bodies[: whole.complete] == split.bodies[: split.complete]
    for method, target, version, raw in whole.requests:
        try:
            head = read(method, target, version, raw)
            tokens, others = split_cookies(head.cookies)
            session_token(tokens)
        except (RequestRefused, CookieTrouble):
            return  # the connection ends with it
        check(head, request_bytes(RULES, head, cookie_line(others, set()), websocket=head.is_websocket), whole)


def check(head: RequestHead, sent: bytes, front: Front) -> None:
    """What the device gets is one whole head that means the same."""
    assert sent.endswith(b"\r\n\r\n")
    assert sent.count(b"\r\n\r\n") == 1, "two heads"
    start, *lines = sent[:-4].split(b"\r\n")
    assert head.method in METHODS
    assert start == head.method + b" " + head.target + b" HTTP/1.1"
    assert start.count(b" ") == 2
    assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines), "a line in a line"
    names = [line.partition(b":")[0].lower() for line in lines]
    assert names.count(b"host") == 1
    assert b"Host: 10.0.0.5:8081" in lines
    lengths = [line for line, name in zip(lines, names, strict=True) if name == b"content-length"]
    codings = [line for line, name in zip(lines, names, strict=True) if name == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1, "a length that can be read in two ways"
    assert bool(codings) == head.chunked
    assert not lengths or lengths == [b"Content-Length: %d" % (head.length or 0)]
    assert not any(line.lower().startswith(_OURS) for line in lines), "a name that only a proxy may say"
    cookies = [line[7:] for line in lines if line[:7].lower() == b"cookie:"]
    assert len(cookies) <= 1
    for pair in b"".join(cookies).split(b";"):
        assert not pair.lower().lstrip(b" \t=").startswith(b"__host-pg"), "our cookie"
    device = Front()
    device.feed([sent])
    assert [request[:2] for request in device.requests] == [(head.method, head.target)], "the device reads another"


def seeds() -> Iterator[bytes]:
    """Requests as browsers send them, and the shapes that smuggling begins with."""
    host = b"Host: hmi--press--acme.apps.localhost:8080\r\n"
    cookie = b"Cookie: __Host-pg=tok; a=b; =__Host-pg=x\r\n"
    same = b"Origin: http://hmi--press--acme.apps.localhost:8080\r\nSec-Fetch-Site: same-origin\r\n"
    for wire in (
        b"GET / HTTP/1.1\r\n" + host + cookie + b'Accept: text/html\r\nIf-None-Match: "a"\r\n\r\n',
        b"POST /a?b=c HTTP/1.1\r\n"
        + host
        + same
        + b"Content-Length: 2\r\n\r\nokGET /next HTTP/1.1\r\n"
        + host
        + b"\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /ws HTTP/1.1\r\n" + host + b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x80abcd",
        b"GET http://evil/ HTTP/1.1\r\n"
        + host
        + b"X_Forwarded_For: 1.2.3.4\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
        b"GET //evil HTTP/1.0\r\n" + host + b"Expect: 100-continue\r\nReferer: http://x/\r\n\r\n",
    ):
        yield b"\x0d" + wire
