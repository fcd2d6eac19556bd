"""What of a device's answers is compressed before the uplink, and the head that then tells so. No I/O.

Small devices compress nothing, and the line from the machine's site is the slowest part of the way. What is compressed
is chosen so that the length of an answer tells nothing (BREACH, https://breachattack.com): that needs an answer which
holds a secret and also what an attacker chose, and an attacker who can see its length while he varies his part.

    off      nothing
    static   files that are the same for everybody: style sheets, scripts, pictures, fonts, programs. A script that may
             have been made from its query ("?callback=", JSONP) counts only when the device says when the file changed
    all      pages, JSON, XML and text as well: for devices whose pages show nothing that a query could be mixed with

Under both: never an answer that sets a cookie, never one to a request with a body, never what the device coded, cut or
wants left alone, and never an event stream. Only answers whose head leaves no doubt are touched; all others pass byte
for byte, for the web proxy's reader to judge.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from typing import Final, NamedTuple

from panelgate.options import Compress
from panelgate.response import CHUNKED, CLOSE, LENGTH, NONE, ResponseHead

# zlib over FUXA's 9.7 MiB of scripts, styles and fonts: level 1 leaves 32.7 % for 8 ms/MiB, 4 29.2 % for 14,
# 5 28.3 % for 17, 6 28.0 % for 23, 9 27.8 % for 42.
LEVEL: Final = 5
LEAST: Final = 1024  # bytes: a smaller body fits one packet with its head either way
ENCODERS_LIMIT: Final = 32  # at once, 256 KiB of zlib's memory each; more answers than that pass as they are
TAGS_LIMIT: Final = 1024  # weakened entity tags remembered, of all services
TAG_LIMIT: Final = 128  # bytes of one that is remembered
MATCHES_LIMIT: Final = 4096  # bytes of If-None-Match; browsers send one tag, and 128 KiB of them cost a router a second
REQUEST_HEAD_LIMIT: Final = 192 * 1024  # bytes; the web proxy takes heads of 128 KiB from browsers, and adds to them

STATIC: Final = frozenset({
    b"text/css", b"text/javascript", b"application/javascript", b"application/x-javascript", b"text/ecmascript",
    b"application/ecmascript", b"application/wasm", b"application/manifest+json", b"image/svg+xml", b"image/bmp",
    b"image/x-ms-bmp", b"image/x-icon", b"image/vnd.microsoft.icon", b"font/ttf", b"font/otf", b"font/sfnt",
    b"font/collection", b"application/x-font-ttf", b"application/x-font-otf", b"application/font-sfnt",
    b"application/vnd.ms-fontobject",
})  # fmt: skip
PAGES: Final = frozenset({
    b"text/html", b"text/plain", b"text/xml", b"text/csv", b"application/json", b"application/xml",
    b"application/xml-dtd", b"application/xhtml+xml", b"application/xslt+xml", b"application/ld+json",
    b"application/geo+json", b"application/soap+xml", b"application/vnd.api+json", b"text/markdown",
    b"text/cache-manifest", b"model/gltf+json",
})  # fmt: skip
TYPES: Final[dict[Compress, frozenset[bytes]]] = {"off": frozenset(), "static": STATIC, "all": STATIC | PAGES}

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Heads without any doubt: RFC 9112 sections 3 and 4 to the letter, no folding, one blank at most behind the colon.
_REQUEST: Final = re.compile(
    rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.1\r\n((?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_RESPONSE: Final = re.compile(
    rb"HTTP/1\.[01] [0-9]{3}(?: [\t\x20-\x7e\x80-\xff]*)?\r\n(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_WEIGHT: Final = re.compile(rb"q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_TAG: Final = re.compile(rb'"[\x21\x23-\x7e\x80-\xff]*"')
_ETAG: Final = re.compile(rb'(\r\netag:[\t ]*)("[\x21\x23-\x7e\x80-\xff]*")(?=[\t ]*\r\n)', re.IGNORECASE)
_WEAK: Final = re.compile(rb'W/("[\x21\x23-\x7e\x80-\xff]*")')
# Of the identity form: lengths, sums, and the offer to cut it. ETag is made weak instead.
_GONE: Final = frozenset({
    b"content-length", b"transfer-encoding", b"accept-ranges", b"content-md5", b"digest", b"content-digest",
    b"repr-digest", b"trailer", b"keep-alive",
})  # fmt: skip
_NEVER: Final = (b"content-encoding", b"content-range", b"set-cookie", b"set-cookie2", b"upgrade")


class Request(NamedTuple):
    """What counts of a request's head. `length` is that of its body in bytes."""

    method: bytes
    target: bytes
    length: int
    accepts: bool  # gzip, and nothing speaks against it: the answer may be compressed
    matches: bytes  # If-None-Match


def read_request(head: bytes) -> Request | None:
    """A request's head with its empty line; None when it is not one to go on from: odd, an upgrade, a chunked body."""
    match = _REQUEST.fullmatch(head)
    if match is None or match[1] == b"CONNECT":
        return None
    length: int | None = None
    coding, matches, partial = b"", b"", False
    for line in match[3].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        key = name.lower()
        if key == b"content-length":
            if length is not None or not _LENGTH.fullmatch(value.strip()):
                return None
            length = int(value)
        elif key in (b"transfer-encoding", b"upgrade"):
            return None
        elif key == b"accept-encoding":
            coding += b"," + value
        elif key in (b"range", b"if-range"):
            partial = True
        elif key == b"if-none-match":
            matches = value.strip()
    plain = match[1] == b"GET" and not length and not partial
    return Request(match[1], match[2], length or 0, plain and _takes_gzip(coding), matches)


def _takes_gzip(value: bytes) -> bool:
    """RFC 9110 section 12.5.3: a named coding counts before "*"; what has no valid weight is not meant for us."""
    named: bool | None = None
    rest = False
    for part in value.lower().split(b","):
        coding, *parameters = (piece.strip() for piece in part.split(b";"))
        wanted = not parameters
        if len(parameters) == 1 and _WEIGHT.fullmatch(parameters[0]):
            wanted = float(parameters[0][2:]) > 0
        if coding in (b"gzip", b"x-gzip"):
            named = wanted if named is None else named and wanted
        elif coding == b"*":
            rest = wanted
    return rest if named is None else named


def chosen(level: Compress, target: bytes, head: ResponseHead, raw: bytes) -> bool:
    """Whether the answer with `head`, which came as the bytes `raw`, to a GET of `target` is compressed."""
    if head.status != 200 or head.framing == NONE or (head.framing == LENGTH and head.length < LEAST):
        return False
    kinds = head.values(b"content-type")
    kind = kinds[0].partition(b";")[0].strip(b" \t").lower() if len(kinds) == 1 else b""
    if kind not in TYPES[level] or any(head.values(name) for name in _NEVER):
        return False
    if b"no-transform" in b",".join(head.values(b"cache-control")).lower():
        return False
    if level == "static" and b"?" in target and not head.values(b"last-modified"):
        return False
    return is_clear(head, raw)


def is_clear(head: ResponseHead, raw: bytes) -> bool:
    """Whether nothing in a response's head could be read in two ways, so that it can be written anew."""
    codings, lengths = head.values(b"transfer-encoding"), head.values(b"content-length")
    if codings and (lengths or len(codings) > 1 or head.framing != CHUNKED or codings[0].lower() != b"chunked"):
        return False
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        return False
    if len(head.values(b"etag")) > 1 or raw[9:12] != b"%d" % head.status:
        return False  # the latter: an interim answer came first
    return _RESPONSE.fullmatch(raw) is not None


def persists(head: ResponseHead) -> bool:
    """Whether the device means to keep the connection after the answer with this head (RFC 9112 section 9.3)."""
    connection = b",".join(head.values(b"connection")).lower()
    if head.framing == CLOSE or b"close" in connection:
        return False
    return head.version >= (1, 1) or b"keep-alive" in connection


def coded_head(head: ResponseHead, tags: Tags, service: str) -> bytes:
    """The head that goes before a compressed body in chunks."""
    lines: list[bytes] = []
    varies = b",".join(head.values(b"vary")).lower()
    for key, name, value in head.headers:
        if key in _GONE:
            continue
        lines.append(name + b": " + (tags.weaken(service, value) if key == b"etag" else value) + b"\r\n")
    if not {b"*", b"accept-encoding"} & {part.strip(b" \t") for part in varies.split(b",")}:
        lines.append(b"Vary: Accept-Encoding\r\n")
    if not persists(head):
        # A device of HTTP/1.0 says so by its version, which can't stay: chunks need 1.1.
        lines.append(b"Connection: close\r\n")
    lines.append(b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n")
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, b"".join(lines))


class Tags:
    """Entity tags of devices that were made weak, so that a device gets its own form back when it is asked about one.

    A compressed answer is not byte for byte what a strong tag promises (RFC 9110 section 8.8.3.3). If-None-Match
    compares weakly, but many small servers compare texts: with W/ in front they would send everything each time.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def weaken(self, service: str, value: bytes) -> bytes:
        """A strong tag made weak, and remembered; anything else as it is."""
        if not _TAG.fullmatch(value):
            return value
        if len(value) <= TAG_LIMIT:
            self._known[service, value] = None
            self._known.move_to_end((service, value))
            if len(self._known) > TAGS_LIMIT:
                self._known.popitem(last=False)
        return b"W/" + value

    def weaken_known(self, service: str, head: bytes) -> bytes:
        """An answer's head in which a tag that was made weak before is made weak again."""
        return _ETAG.sub(lambda at: at[1] + (b"W/" if self.knows(service, at[2]) else b"") + at[2], head, 1)

    def knows(self, service: str, tag: bytes) -> bool:
        """Whether the strong `tag` is one that was made weak."""
        return (service, tag) in self._known

    def restore(self, service: str, head: bytes, matches: bytes) -> bytes:
        """A request's head, in which If-None-Match has the value `matches`, with the tags as the device gave them."""
        if len(matches) > MATCHES_LIMIT:
            return head
        restored = _WEAK.sub(lambda tag: tag[1] if self.knows(service, tag[1]) else tag[0], matches)
        if restored == matches:
            return head
        line = re.compile(rb"(\r\nif-none-match:[ \t]*)" + re.escape(matches), re.IGNORECASE)
        return line.sub(lambda at: at[1] + restored, head, 1)


class Encoder:
    """A gzip body in the chunked coding (RFC 1952, RFC 9112 section 7.1)."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self.holds = False  # bytes that have gone in and not come out

    def feed(self, data: bytes) -> bytes:
        """Chunks for `data`, or nothing yet."""
        self.holds = True
        return _chunk(self._zlib.compress(data))

    def flush(self) -> bytes:
        """Everything that went in so far: the device pauses, and somebody may be waiting for it."""
        self.holds = False
        return _chunk(self._zlib.flush(zlib.Z_SYNC_FLUSH))

    def finish(self) -> bytes:
        """The rest, and the end of the body."""
        self.holds = False
        return _chunk(self._zlib.flush()) + b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
