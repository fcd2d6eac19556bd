"""A browser's request head, read once: what may not pass is refused, what the device gets is sorted out. No I/O.

The checks are those of RFC 9112 section 3 and 6 that decide where a request ends and whom it is for. httptools has
parsed the bytes already; these rules hold even if it became lenient one day.
"""

from __future__ import annotations

import re
from typing import Any

HEAD_LIMIT = 128 * 1024  # bytes of a request head without its cookies
# Bytes of cookies, which come on top: a sibling origin can make a browser send all 180 that it keeps for a site, 4 kB
# each, and the page must still open. The device gets at most those that it set itself.
COOKIES_LIMIT = 180 * 4096
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
SAFE_METHODS = frozenset({b"GET", b"HEAD"})
VERSIONS = frozenset({"1.1", "1.0"})
KIND_CACHE_LIMIT = 1024  # header names; browsers use some thirty, the rest is noise that must not stay

# Origin-form only (RFC 9112 section 3.2.1), printable ASCII, no fragment, and no "//host" or "/\host" in front.
_TARGET = re.compile(rb"/(?![/\\])[\x21\x22\x24-\x7e]*")
_DIGITS = re.compile(rb"[0-9]{1,18}")

PASS, DROP, KNOWN = 0, 1, 2

# What is read here, and written again (or not) by `build`.
_KNOWN = frozenset({
    b"host", b"origin", b"referer", b"authorization", b"cookie", b"content-length", b"transfer-encoding",
    b"connection", b"upgrade", b"expect", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"service-worker",
    b"accept", b"if-none-match", b"accept-encoding", b"sec-websocket-key", b"sec-websocket-version",
    b"sec-websocket-protocol", b"sec-websocket-extensions",
})  # fmt: skip
_WEBSOCKET = {
    name.lower(): name
    for name in (
        b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions",
    )
}  # fmt: skip
# Hop-by-hop (RFC 9110 section 7.6.1), traces of other proxies, and names that some servers believe as an identity.
_DROP = frozenset({
    b"keep-alive", b"te", b"trailer", b"trailers", b"http2-settings", b"forwarded", b"via", b"x-real-ip", b"alt-used",
    b"early-data", b"x-client-ip", b"x-cluster-client-ip", b"x-original-url", b"x-rewrite-url", b"x-original-host",
    b"x-host", b"x-http-method-override", b"x-http-method", b"x-method-override", b"true-client-ip",
    b"cf-connecting-ip", b"client-ip", b"ssl-client-cert",
    b"remote-user", b"authenticated-user", b"x-authenticated-user", b"x-webauth-user", b"x-user", b"x-proxy-user",
    b"x-ms-client-principal", b"x-ms-client-principal-name", b"panelgate-assertion", b"panelgate-session", b"proxy",
    b"x-original-forwarded-for", b"fastly-client-ip", b"x-appengine-user-ip", b"x-azure-clientip", b"x-scheme",
    b"front-end-https", b"x-url-scheme",
})  # fmt: skip
_DROP_PREFIXES = (
    b"proxy-", b"x-forwarded", b"x-remote-", b"remote-", b"x-ssl-client-", b"x-auth-request-", b"x-authenticated-",
    b"x-goog-authenticated-", b"sec-session-", b"secure-session-",
)  # fmt: skip
_AUTH_USER = re.compile(rb"x-auth-(.*-)?(user|username|email|groups?|roles?)")

_kinds: dict[bytes, int] = {}


class RequestRefused(Exception):
    """A request that may not go on: HTTP `status` and a sentence; the browser's connection ends with it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def kind_of(name: bytes) -> int:
    """Whether a header goes to the device as it is (PASS), never (DROP), or is handled by name (KNOWN)."""
    key = name.lower().replace(b"_", b"-")
    if name.lower() in _KNOWN:
        kind = KNOWN
    elif key in _DROP or key in _KNOWN or key.startswith(_DROP_PREFIXES) or _AUTH_USER.fullmatch(key):
        # Servers that turn headers into variables can't tell "_" from "-": neither form of a dropped name passes,
        # while other names with "_" do (Ignition needs them).
        kind = DROP
    else:
        kind = PASS
    if len(_kinds) >= KIND_CACHE_LIMIT:
        _kinds.clear()
    _kinds[name] = kind
    return kind


class RequestHead:
    """One request as its browser sent it; `lines` are the header lines that pass unchanged."""

    __slots__ = (
        "accept", "asks", "authorization", "chunked", "connection", "cookies", "dest", "expect", "host",
        "if_none_match", "length", "lines", "method", "mode", "origin", "prefix", "prepared", "referer",
        "service_worker", "site", "target", "upgrade", "version", "websocket_key",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, version: str) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.lines: list[bytes] = []
        self.cookies: list[bytes] = []
        self.host = b""
        self.prefix = b""  # what was taken off the target's front: "/label" where services share one host
        self.origin: bytes | None = None
        self.referer: bytes | None = None
        self.length: int | None = None
        self.chunked = False
        self.connection = b""
        self.upgrade = b""
        self.expect = False
        self.site = b""
        self.mode = b""
        self.dest = b""
        self.accept = b""
        self.service_worker = False
        self.if_none_match = b""
        self.websocket_key = b""
        self.authorization = b""
        # What it means to the cache, once that was worked out; False: nothing. See cache.asks_of.
        self.asks: Any = None
        # What the device gets for it, with what that was made for; see Exchange.dispatch.
        self.prepared: tuple[object, bytes, bytes] | None = None

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.chunked or bool(self.length)

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """The target's query, without the question mark."""
        return self.target.partition(b"?")[2]

    @property
    def is_websocket(self) -> bool:
        """Whether the request asks for a WebSocket (RFC 6455 section 4.1)."""
        return self.upgrade == b"websocket"

    @property
    def is_navigation(self) -> bool:
        """Whether a person sees the answer as a page: a top-level navigation, or a browser too old to say."""
        if self.method not in SAFE_METHODS or self.is_websocket:
            return False
        if self.mode:
            return self.mode == b"navigate" and self.dest in (b"document", b"")
        return b"text/html" in self.accept

    @property
    def wants_page(self) -> bool:
        """Whether an error should be a page: frames as well as windows."""
        return b"text/html" in self.accept or self.mode == b"navigate"


def read(method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> RequestHead:
    """Check and sort a request head; RequestRefused for anything two parsers could understand differently."""
    if version not in VERSIONS:
        raise RequestRefused(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if method not in METHODS:
        known = method in (b"CONNECT", b"TRACE")
        raise RequestRefused(400 if known else 405, "This method is not forwarded.")
    if not _TARGET.fullmatch(target):
        raise RequestRefused(400, "The request's target is not a plain path.")
    head = RequestHead(method, target, version)
    lines = head.lines
    for name, value in headers:
        kind = _kinds.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == PASS:
            lines.append(name + b": " + value + b"\r\n")
        elif kind == KNOWN:
            _known(head, name.lower(), value)
    if not head.host:
        raise RequestRefused(400, "A request needs exactly one Host.")
    _framing(head)
    return head


def _known(head: RequestHead, key: bytes, value: bytes) -> None:  # noqa: C901  one table of names, flat on purpose
    if key == b"cookie":
        head.cookies.append(value)
    elif key == b"accept":
        head.accept = value
        head.lines.append(b"Accept: " + value + b"\r\n")
    elif key == b"sec-fetch-site":
        head.site = value
    elif key == b"sec-fetch-mode":
        head.mode = value
        head.lines.append(b"Sec-Fetch-Mode: " + value + b"\r\n")
    elif key == b"sec-fetch-dest":
        head.dest = value
        head.lines.append(b"Sec-Fetch-Dest: " + value + b"\r\n")
    elif key == b"host":
        if head.host:
            raise RequestRefused(400, "A request needs exactly one Host.")
        head.host = value
    elif key == b"connection":
        head.connection = (head.connection + b"," + value if head.connection else value).lower()
    elif key == b"referer":
        head.referer = value
    elif key == b"origin":
        if head.origin is not None:
            raise RequestRefused(400, "Two Origin headers.")
        head.origin = value
    elif key == b"content-length":
        if head.length is not None or not _DIGITS.fullmatch(value):
            raise RequestRefused(400, "The Content-Length is not one number.")
        head.length = int(value)
    elif key == b"transfer-encoding":
        if head.chunked or value.strip().lower() != b"chunked":
            raise RequestRefused(400, "Only the chunked transfer coding is accepted.")
        head.chunked = True
    elif key == b"upgrade":
        head.upgrade = value.strip().lower()
    elif key == b"expect":
        head.expect = value.lower() == b"100-continue"
    elif key == b"service-worker":
        head.service_worker = True
    elif key == b"if-none-match":
        head.if_none_match = value
        head.lines.append(b"If-None-Match: " + value + b"\r\n")
    elif key == b"accept-encoding":
        head.lines.append(b"Accept-Encoding: " + value + b"\r\n")
    elif key == b"authorization":
        head.authorization = value
        head.lines.append(b"Authorization: " + value + b"\r\n")
    else:
        # Some servers know these in this case only, and load balancers write them small.
        if key == b"sec-websocket-key":
            head.websocket_key = value
        head.lines.append(_WEBSOCKET[key] + b": " + value + b"\r\n")


def _framing(head: RequestHead) -> None:
    if head.chunked and (head.length is not None or head.version == "1.0"):
        raise RequestRefused(400, "The request's length is ambiguous.")
    if head.connection and head.connection not in (b"keep-alive", b"close"):
        tokens = {token.strip() for token in head.connection.split(b",")}
        if head.upgrade and b"upgrade" not in tokens:
            head.upgrade = b""
        named = tuple(token + b":" for token in tokens - {b"keep-alive", b"close", b"upgrade", b""})
        if named:
            head.lines[:] = [line for line in head.lines if not line.lower().startswith(named)]
    else:
        head.upgrade = b""
    if head.upgrade:
        if head.has_body:
            raise RequestRefused(400, "An upgrade with a body is not accepted.")
        if head.is_websocket and (head.method != b"GET" or head.version != "1.1"):
            raise RequestRefused(400, "A WebSocket begins with GET and HTTP/1.1.")
