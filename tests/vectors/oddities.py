"""Odd answers of web servers: the bytes, what Chromium 156 makes of them, and what we do when that is something else.

One table for three tests: the reader's unit tests, the differential test in a real Chromium (e2e/test_oddities.py,
which also proves the column `status`/`body` against Chromium itself), and the seeds of the fuzz targets.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field

CLOSE, KEEP, RESET = "close", "keep", "reset"


@dataclass(frozen=True)
class Oddity:
    """`answer` to one request, then the connection `ends`. `status` None: Chromium shows an error, no response.

    `headers` are x- headers as a page's script sees them. `reused`: another request may follow on that connection.
    `passed`: what the reader reads where the browser itself decodes the content or refuses the head.
    `ours` (status or None, body) and `ours_headers` differ on purpose, and `why` says the reason.
    """

    name: str
    answer: bytes
    status: int | None = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    ends: str = CLOSE
    reused: bool = False
    passed: tuple[int, bytes] | None = None
    ours: tuple[int | None, bytes] | None = None
    ours_headers: dict[str, str] | None = None
    why: str = ""

    @property
    def direct(self) -> tuple[int | None, bytes, dict[str, str]]:
        """What Chromium makes of it without us."""
        return (None, b"", {}) if self.status is None else (self.status, self.body, self.headers)

    @property
    def through(self) -> tuple[int | None, bytes, dict[str, str]]:
        """What Chromium makes of it through Panelgate."""
        if self.ours_headers is not None:
            return self.status, self.body, self.ours_headers
        if self.ours is None:
            return self.direct
        return (None, b"", {}) if self.ours[0] is None else (*self.ours, self.headers)

    @property
    def read(self) -> tuple[int | None, bytes, dict[str, str]]:
        """What the reader makes of it: as `through`, before the browser decodes or refuses it."""
        return self.through if self.passed is None else (*self.passed, self.headers)


O = Oddity  # noqa: E741  # a table reads best in short words
H = b"HTTP/1.1 200 OK\r\n"
T = H + b"Content-Type: text/plain\r\n"
CL = b"Content-Length: 2\r\n\r\nok"
TE = T + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
GZIP = gzip.compress(b"ok", mtime=0)
REFUSED = None
NO_PAGE = (None, b"")
NINE = "what is no HTTP gets a page that says so; Chromium shows it as bare text, and on port 80 only (ICY on any)"
HALF = "half an answer must not look like a whole one on a panel; over HTTPS Chromium refuses it as well"
NO_ANSWER = "an interim answer is none; Chromium makes an empty page with status 200 of it"
NUMBER = "RFC 9110 section 15: such a status counts as 5xx; load balancers in front of us know none of these"

_VERSIONS = [
    O("plain", T + CL, ends=KEEP, reused=True),
    O("HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nok"),
    O("HTTP/1.0 with a length", b"HTTP/1.0 200 OK\r\n" + CL),
    O("HTTP/1.0 keep-alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CL, ends=KEEP, reused=True),
    O("HTTP/1.2", b"HTTP/1.2 200 OK\r\n" + CL, ends=KEEP, reused=True),
    O("HTTP/2.0 in the status line", b"HTTP/2.0 200 OK\r\n" + CL, ends=KEEP, reused=True),
    O("HTTP/0.9 in the status line", b"HTTP/0.9 200 OK\r\n" + CL),
    O("HTTP/1.10", b"HTTP/1.10 200 OK\r\n" + CL, ends=KEEP, reused=True),
    O("HTTP/01.1", b"HTTP/01.1 200 OK\r\n" + CL),
    O("HTTP/1", b"HTTP/1 200 OK\r\n" + CL),
    O("HTTP/x", b"HTTP/x 200 OK\r\n" + CL),
    O("HTTP without a number", b"HTTP 200 OK\r\n" + CL),
    O("lower-case http", b"http/1.1 200 ok\r\n" + CL, ends=KEEP, reused=True),
    O("ICY", b"ICY 200 OK\r\n" + CL, body=b"ICY 200 OK\r\n" + CL, ours=NO_PAGE, why=NINE),
    O("headerless (HTTP/0.9)", b"<p>bare page</p>", body=b"<p>bare page</p>", ours=NO_PAGE, why=NINE),
    O("headerless, short", b"x", body=b"x", ours=NO_PAGE, why=NINE),
    O("another protocol", b"SSH-2.0-x\r\n", body=b"SSH-2.0-x\r\n", ours=NO_PAGE, why=NINE),
    O("RTSP", b"RTSP/1.0 200 OK\r\n\r\n", body=b"RTSP/1.0 200 OK\r\n\r\n", ours=NO_PAGE, why=NINE),
]
_STATUS = [
    O("no reason", b"HTTP/1.1 200\r\n" + CL, ends=KEEP, reused=True),
    O("empty reason", b"HTTP/1.1 200 \r\n" + CL, ends=KEEP, reused=True),
    O("reason in 8 bits", b"HTTP/1.1 200 \xc4rger\r\n" + CL, ends=KEEP, reused=True),
    O("reason glued on", b"HTTP/1.1 200OK\r\n" + CL, ends=KEEP, reused=True),
    O("tab after the version", b"HTTP/1.1\t200 OK\r\n" + CL),
    O("spaces after the version", b"HTTP/1.1   200 OK\r\n" + CL, ends=KEEP, reused=True),
    O("no space after the version", b"HTTP/1.1200 OK\r\n" + CL),
    O("no status", b"HTTP/1.1\r\n" + CL),
    O("words for a status", b"HTTP/1.1 OK\r\n" + CL),
    O("status 2000", b"HTTP/1.1 2000 OK\r\n" + CL, 2000, ours=(500, b"ok"), why=NUMBER),
    O("status 20", b"HTTP/1.1 20 OK\r\n" + CL, 20, ours=(500, b"ok"), why=NUMBER),
    O("status 099", b"HTTP/1.1 099 OK\r\n" + CL, 99, ours=(500, b"ok"), why=NUMBER),
    O("status 000", b"HTTP/1.1 000 OK\r\n" + CL, 0, ours=(500, b"ok"), why=NUMBER),
    O("status 600", b"HTTP/1.1 600 OK\r\n" + CL, 600, ends=KEEP, reused=True),
    O("status 999", b"HTTP/1.1 999 OK\r\n" + CL, 999, ends=KEEP, reused=True),
    O("status 299", b"HTTP/1.1 299 Odd\r\n" + CL, 299, ends=KEEP, reused=True),
    O("status -200", b"HTTP/1.1 -200 OK\r\n" + CL),
    O("status +200", b"HTTP/1.1 +200 OK\r\n" + CL),
    O("status 200.5", b"HTTP/1.1 200.5 OK\r\n" + CL, ends=KEEP, reused=True),
    O("404", b"HTTP/1.1 404 Not Found\r\n" + CL, 404, ends=KEEP, reused=True),
    O("500 closed", b"HTTP/1.1 500 Broken\r\n\r\nok", 500),
    O("401 without a challenge", b"HTTP/1.1 401 Unauthorized\r\n" + CL, 401, ends=KEEP, reused=True),
    O("407", b"HTTP/1.1 407 Proxy\r\n" + CL, REFUSED, passed=(407, b"ok"), ends=KEEP, reused=True),
    O("302 without Location", b"HTTP/1.1 302 Found\r\n" + CL, 302, ends=KEEP, reused=True),
    O("426", b"HTTP/1.1 426 Upgrade\r\nUpgrade: h2\r\n" + CL, 426, ends=KEEP, reused=True),
]
_IN_FRONT = [
    O("CRLF in front", b"\r\n\r\n" + T + CL, ends=KEEP, reused=True),
    O("LF in front", b"\n" + T + CL, ends=KEEP, reused=True),
    O("space in front", b" " + T + CL),
    O("four junk bytes in front", b"abcd" + T + CL),
    O("five junk bytes in front", b"abcde" + T + CL, body=b"abcde" + T + CL, ours=NO_PAGE, why=NINE),
    O("byte order mark in front", b"\xef\xbb\xbf" + T + CL),
    O("NUL bytes in front", b"\0\0\0\0" + T + CL, REFUSED),
    O("6 CRLF in front", b"\r\n" * 6 + T + CL, body=b"\r\n" * 6 + T + CL, ours=NO_PAGE, why=NINE),
]
_INTERIM = [
    O("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + T + CL, ends=KEEP, reused=True),
    O("103 first", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + T + CL, ends=KEEP, reused=True),
    O("102 and 199 first", b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 199 Q\r\n\r\n" + T + CL, ends=KEEP, reused=True),
    O("ten interim", b"HTTP/1.1 100 C\r\n\r\n" * 10 + T + CL, ends=KEEP, reused=True),
    O("forty interim", b"HTTP/1.1 100 C\r\n\r\n" * 40 + T + CL, ends=KEEP, reused=True),
    O("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + T + CL, ends=KEEP),
    O("100 with a length", b"HTTP/1.1 100 C\r\nContent-Length: 2\r\n\r\n" + T + CL, ends=KEEP, reused=True),
    O("100 alone", b"HTTP/1.1 100 Continue\r\n\r\n", body=b"", ours=NO_PAGE, why=NO_ANSWER),
]
_LENGTH = [
    O("until close", T + b"\r\nok"),
    O("empty until close", T + b"\r\n", body=b""),
    O("empty with a length", T + b"Content-Length: 0\r\n\r\n", body=b"", ends=KEEP, reused=True),
    O("empty length", T + b"Content-Length: \r\n\r\nok"),
    O("length too long", T + b"Content-Length: 9\r\n\r\nok", REFUSED),
    O("length too short", T + CL + b"more"),
    O("length too short, kept", T + CL + b"more", ends=KEEP),
    O("negative length", T + b"Content-Length: -1\r\n\r\nok"),
    O("length with a plus", T + b"Content-Length: +2\r\n\r\nok"),
    O("length with a plus, too short", T + b"Content-Length: +2\r\n\r\nokay", body=b"okay"),
    O("length in hex", T + b"Content-Length: 0x2\r\n\r\nokay", body=b"okay"),
    O("length with a word", T + b"Content-Length: 2 bytes\r\n\r\nokay", body=b"okay"),
    O("length with a dot", T + b"Content-Length: 2.0\r\n\r\nokay", body=b"okay"),
    O("length with a comma", T + b"Content-Length: 2,\r\n\r\nokay", REFUSED),
    O("length with leading zeros", T + b"Content-Length: 0000000002\r\n\r\nok", ends=KEEP, reused=True),
    O("length of twenty digits", T + b"Content-Length: 99999999999999999999\r\n\r\nok"),
    O("length of 2^63-1", T + b"Content-Length: 9223372036854775807\r\n\r\nok", REFUSED),
    O("same length twice", T + b"Content-Length: 2\r\n" + CL, ends=KEEP),
    O("same length in a list", T + b"Content-Length: 2, 2\r\n\r\nok", ends=KEEP),
    O("same length, written differently", T + b"Content-Length: 02\r\n" + CL, REFUSED),
    O("two lengths", T + b"Content-Length: 3\r\n" + CL, REFUSED),
    O("two lengths in a list", T + b"Content-Length: 2, 3\r\n\r\nokk", REFUSED),
    O("two different bad lengths", T + b"Content-Length: x\r\nContent-Length: y\r\n\r\nok", REFUSED),
    O("same bad length twice", T + b"Content-Length: x\r\nContent-Length: x\r\n\r\nok"),
    O("length with many zeros", T + b"Content-Length: " + b"0" * 5000 + b"2\r\n\r\nok", ends=KEEP),
    O("bad length, then a good one", T + b"Content-Length: x\r\n" + CL, REFUSED),
    O("says close", T + b"Connection: close\r\n" + CL),
    O("says close and stays", T + b"Connection: close\r\n" + CL, ends=KEEP),
    O("says keep-alive and closes", T + b"Connection: keep-alive\r\n" + CL, reused=True),
    O("keep-alive without a length", T + b"Connection: keep-alive\r\n\r\nok"),
    O("two responses in one packet", T + CL + T + CL),
    O("empty line after the body", T + CL + b"\r\n", ends=KEEP),
]
_CHUNKED = [
    O("chunked", TE + b"2\r\nok\r\n" + LAST, ends=KEEP, reused=True),
    O("chunked in capitals", T + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n" + LAST, ends=KEEP, reused=True),
    O(
        "chunked and a length",
        T + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n" + LAST,
        ends=KEEP,
    ),
    O(
        "a length and chunked",
        T + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + LAST,
        ends=KEEP,
    ),
    O(
        "chunked and two lengths",
        T + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n" + LAST,
    ),
    O("chunked twice", T + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + LAST),
    O("gzip, chunked as transfer codings", T + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n" + LAST),
    O("identity, chunked", T + b"Transfer-Encoding: identity, chunked\r\n\r\n2\r\nok\r\n" + LAST),
    O("chunked, identity", T + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n" + LAST),
    O("identity and a length", T + b"Transfer-Encoding: identity\r\n" + CL),
    O("identity", T + b"Transfer-Encoding: identity\r\n\r\nok"),
    O("unknown transfer coding and a length", T + b"Transfer-Encoding: x\r\n" + CL),
    O("empty transfer coding and a length", T + b"Transfer-Encoding: \r\n" + CL),
    O("xchunked", T + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n" + LAST, body=b"2\r\nok\r\n" + LAST),
    O(
        "chunked with a parameter",
        T + b"Transfer-Encoding: chunked;a=b\r\n\r\n2\r\nok\r\n" + LAST,
        body=b"2\r\nok\r\n" + LAST,
    ),
    O(
        "chunked on HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + LAST,
        body=b"2\r\nok\r\n" + LAST,
    ),
    O("chunk extension", TE + b"2;a=b\r\nok\r\n0;c\r\n\r\n", ends=KEEP, reused=True),
    O("chunk extension in quotes", TE + b'2;a="b;\\"c"\r\nok\r\n' + LAST, ends=KEEP, reused=True),
    O("trailers", TE + b"2\r\nok\r\n0\r\nX-Late: y\r\nX-More: z\r\n\r\n", ends=KEEP, reused=True),
    O("trailer without colon", TE + b"2\r\nok\r\n0\r\nrubbish\r\n\r\n", ends=KEEP, reused=True),
    O("chunks with bare LF", T + b"Transfer-Encoding: chunked\n\n2\nok\n0\n\n", ends=KEEP, reused=True),
    O("chunk size with leading zeros", TE + b"0000002\r\nok\r\n000\r\n\r\n", ends=KEEP, reused=True),
    O("chunk size of many zeros", TE + b"0" * 40 + b"2\r\nok\r\n" + LAST, ends=KEEP, reused=True),
    O("chunk size in capitals", TE + b"A\r\n0123456789\r\n" + LAST, body=b"0123456789", ends=KEEP, reused=True),
    O("chunk size with spaces behind", TE + b"2  \r\nok\r\n" + LAST, ends=KEEP, reused=True),
    O("chunk size with a tab behind", TE + b"2\t\r\nok\r\n" + LAST, REFUSED),
    O("chunk size with a space in front", TE + b" 2\r\nok\r\n" + LAST, REFUSED),
    O("chunk size 0x2", TE + b"0x2\r\nok\r\n" + LAST, REFUSED),
    O("chunk size +2", TE + b"+2\r\nok\r\n" + LAST, REFUSED),
    O("chunk size -2", TE + b"-2\r\nok\r\n" + LAST, REFUSED),
    O("chunk size of 17 digits", TE + b"f" * 17 + b"\r\nok\r\n" + LAST, REFUSED),
    O("chunk size 7fffffffffffffff", TE + b"7fffffffffffffff\r\nok\r\n" + LAST, REFUSED),
    O("chunk size missing", TE + b"\r\nok\r\n" + LAST, REFUSED),
    O("chunk with CR alone", TE + b"2\rok\r0\r\r", REFUSED),
    O("chunk longer than its size", TE + b"2\r\nokay\r\n" + LAST, REFUSED),
    O("chunk without CRLF behind", TE + b"2\r\nok" + LAST, REFUSED),
    O("chunk shorter than its size", TE + b"5\r\nok\r\n" + LAST, REFUSED),
    O("no last chunk", TE + b"2\r\nok\r\n", REFUSED),
    O("closed after the last size", TE + b"2\r\nok\r\n0\r\n", REFUSED),
    O("closed after 0", TE + b"2\r\nok\r\n0", REFUSED),
    O("nothing in chunks", TE, REFUSED),
    O("closed within a chunk", TE + b"5\r\nok", REFUSED),
    O("content after the last chunk", TE + b"2\r\nok\r\n" + LAST + b"more", ends=KEEP),
    O("no chunks at all", TE + b"ok", REFUSED),
    O("long chunk extension", TE + b"2;" + b"a" * 3000 + b"\r\nok\r\n" + LAST, ends=KEEP, reused=True),
    O("chunk extension of 20 kB", TE + b"2;" + b"a" * 20000 + b"\r\nok\r\n" + LAST, REFUSED),
    O("30 kB of trailers", TE + b"2\r\nok\r\n0\r\n" + b"X-Late: y\r\n" * 2700 + b"\r\n", ends=KEEP, reused=True),
]
_LINES = [
    O("bare LF", b"HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok", headers={"x-a": "1"}, ends=KEEP, reused=True),
    O(
        "LF and CRLF mixed",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 2\r\n\nok",
        headers={"x-a": "1"},
        ends=KEEP,
        reused=True,
    ),
    O("LF then CRLF at the end", b"HTTP/1.1 200 OK\nContent-Length: 2\n\r\nok", ends=KEEP, reused=True),
    O(
        "CR alone",
        b"HTTP/1.1 200 OK\rX-A: 1\rContent-Length: 2\r\rok",
        body=b"",
        headers={"x-a": "1"},
        ours=NO_PAGE,
        why=HALF,
    ),
    O("CR alone in a value", H + b"X-A: 1\rX-B: 2\r\n" + CL, headers={"x-a": "1", "x-b": "2"}, ends=KEEP),
    O("CR CR LF", b"HTTP/1.1 200 OK\r\r\nContent-Length: 2\r\r\n\r\r\nok", body=b"", ours=NO_PAGE, why=HALF),
    O("folded", H + b"X-A: a\r\n b\r\n" + CL, headers={"x-a": "a b"}, ends=KEEP),
    O("folded with a tab", H + b"X-A: a\r\n\tb\r\n" + CL, headers={"x-a": "a b"}, ends=KEEP),
    O("folded first line", H + b" X-A: a\r\n" + CL),
    O("folded length", H + b"Content-Length:\r\n 2\r\n\r\nok", ends=KEEP),
    O(
        "space before the colon",
        H + b"X-A : 1\r\nContent-Length : 2\r\n\r\nok",
        headers={"x-a": "1"},
        ends=KEEP,
        reused=True,
    ),
    O("line without a colon", H + b"rubbish\r\n" + CL, ends=KEEP),
    O("space in a name", H + b"X A: 1\r\n" + CL, ends=KEEP),
    O("empty name", H + b": 1\r\n" + CL, ends=KEEP),
    O("brackets in a name", H + b"X(A): 1\r\n" + CL, ends=KEEP),
    O("8-bit name", H + b"X-\xc4: 1\r\n" + CL, ends=KEEP),
    O("8-bit value", H + b"X-A: \xc4rger\r\n" + CL, headers={"x-a": "\xc4rger"}, ends=KEEP, reused=True),
    O("UTF-8 value", H + "X-A: Ärger\r\n".encode() + CL, headers={"x-a": "\xc3\x84rger"}, ends=KEEP, reused=True),
    O("NUL in a value", H + b"X-A: a\0b\r\n" + CL, REFUSED),
    O("NUL in a name", H + b"X\0A: b\r\n" + CL, REFUSED),
    O("NUL in the status line", b"HTTP/1.1 200 O\0K\r\n" + CL, REFUSED),
    O(
        "control bytes in a value",
        H + b"X-A: a\x01\x0b\x7fb\r\n" + CL,
        headers={"x-a": "a\x01\x0b\x7fb"},
        ends=KEEP,
        ours_headers={"x-a": "a   b"},
        why="RFC 9110 section 5.5: a proxy in front of us may refuse them, a space passes",
    ),
    O("tab in a value", H + b"X-A: a\tb\r\n" + CL, headers={"x-a": "a\tb"}, ends=KEEP, reused=True),
    O("spaces around a value", H + b"X-A:  \t a \t \r\n" + CL, headers={"x-a": "a"}, ends=KEEP, reused=True),
    O("no space after the colon", H + b"X-A:a\r\n" + CL, headers={"x-a": "a"}, ends=KEEP, reused=True),
    O("empty value", H + b"X-A:\r\n" + CL, headers={"x-a": ""}, ends=KEEP, reused=True),
    O("same header twice", H + b"X-A: 1\r\nx-a: 2\r\n" + CL, headers={"x-a": "1, 2"}, ends=KEEP, reused=True),
    O("20 kB header", H + b"X-A: " + b"a" * 20000 + b"\r\n" + CL, headers={"x-a": "a" * 20000}, ends=KEEP, reused=True),
    O(
        "100 kB header",
        H + b"X-A: " + b"a" * 100_000 + b"\r\n" + CL,
        headers={"x-a": "a" * 100_000},
        ends=KEEP,
        reused=True,
    ),
    O(
        "200 headers",
        H + b"".join(b"X-%d: 1\r\n" % i for i in range(200)) + CL,
        headers={f"x-{i}": "1" for i in range(200)},
        ends=KEEP,
        reused=True,
    ),
    O(
        "600 headers",
        H + b"".join(b"X-%d: 1\r\n" % i for i in range(600)) + CL,
        headers={f"x-{i}": "1" for i in range(600)},
        ends=KEEP,
        ours=(None, b""),
        why="bounded: 500 lines; no device was seen with more than 200",
    ),
    O(
        "130 kB of head",
        H + b"X-A: " + b"a" * 132_000 + b"\r\n" + CL,
        headers={"x-a": "a" * 132_000},
        ends=KEEP,
        ours=(None, b""),
        why="bounded: 128 kB; real devices stay under 20 kB",
    ),
    O("300 kB of head", H + b"X-A: " + b"a" * 300_000 + b"\r\n" + CL, REFUSED),
    O(
        "two Locations",
        b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n" + CL,
        REFUSED,
        passed=(302, b"ok"),
        ends=KEEP,
        reused=True,
    ),
    O("two Content-Types", H + b"Content-Type: text/html\r\n" + T[len(H) :] + CL, ends=KEEP, reused=True),
    O(
        "two Content-Dispositions",
        H + b"Content-Disposition: inline\r\nContent-Disposition: attachment\r\n" + CL,
        REFUSED,
        passed=(200, b"ok"),
        ends=KEEP,
        reused=True,
    ),
]
_NO_BODY = [
    O("HEAD", T + b"Content-Length: 5\r\n\r\n", body=b"", method="HEAD", ends=KEEP, reused=True),
    O("HEAD with a body", T + CL, body=b"", method="HEAD", ends=KEEP),
    O("HEAD, chunked", TE, body=b"", method="HEAD", ends=KEEP, reused=True),
    O("HEAD without a length", T + b"\r\n", body=b"", method="HEAD", ends=KEEP, reused=True),
    O("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", ends=KEEP, reused=True),
    O("204 with a length", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b"", ends=KEEP, reused=True),
    O("204 with a body", b"HTTP/1.1 204 No Content\r\n" + CL, 204, b"", ends=KEEP),
    O("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", ends=KEEP, reused=True),
    O("304 with a body", b"HTTP/1.1 304 Not Modified\r\n" + CL, 304, b"", ends=KEEP),
    O("HEAD with two lengths", T + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n", REFUSED, method="HEAD"),
    O("204, chunked", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 204, b"", ends=KEEP, reused=True),
    O(
        "204, chunked, with a body",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + LAST,
        204,
        b"",
        ends=KEEP,
    ),
    O("205", b"HTTP/1.1 205 Reset\r\n\r\n", 205, b"", ends=KEEP, reused=True),
    O("205 with a body", b"HTTP/1.1 205 Reset\r\n" + CL, 205, b"", ends=KEEP),
]
_CONTENT = [
    O(
        "gzip",
        T + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIP) + GZIP,
        passed=(200, GZIP),
        ends=KEEP,
        reused=True,
    ),
    O("x-gzip until close", T + b"Content-Encoding: x-gzip\r\n\r\n" + GZIP, passed=(200, GZIP)),
    O(
        "gzip that is plain",
        T + b"Content-Encoding: gzip\r\n" + CL,
        REFUSED,
        passed=(200, b"ok"),
        ends=KEEP,
        reused=True,
    ),
    O(
        "gzip cut short",
        T + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n" + GZIP[:9],
        body=b"",
        passed=(200, GZIP[:9]),
        reused=True,
    ),
    O("unknown content coding", T + b"Content-Encoding: x-own\r\n" + CL, ends=KEEP, reused=True),
    O("content coding identity", T + b"Content-Encoding: identity\r\n" + CL, ends=KEEP, reused=True),
    O("empty content coding", T + b"Content-Encoding:\r\n" + CL, ends=KEEP, reused=True),
    O("empty gzip", T + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", body=b"", ends=KEEP, reused=True),
]
_BROKEN = [
    O("nothing, closed", b"", REFUSED),
    O("nothing, reset", b"", REFUSED, ends=RESET),
    O("half a status line", b"HTTP/1.1 2", 2, b"", ours=NO_PAGE, why=HALF),
    O("half a head", T + b"X-A: ", body=b"", headers={"x-a": ""}, ours=NO_PAGE, why=HALF),
    O("head without its empty line", T + b"X-A: 1\r\n", body=b"", headers={"x-a": "1"}, ours=NO_PAGE, why=HALF),
    O("status line alone, closed", H, body=b"", ours=NO_PAGE, why=HALF),
    O("status line alone without CRLF", b"HTTP/1.1 200 OK", body=b"", ours=NO_PAGE, why=HALF),
    O("reset within the head", T + b"X-A: ", REFUSED, ends=RESET),
    O("reset within the body", T + b"Content-Length: 9\r\n\r\nok", REFUSED, ends=RESET),
    O("reset within a body until close", T + b"\r\nok", REFUSED, ends=RESET),
    O("reset within a chunk", TE + b"9\r\nok", REFUSED, ends=RESET),
    O("reset after the body", T + CL, ends=RESET, reused=True),
    O("HTTP/1.0 head without its empty line", b"HTTP/1.0 200 OK\r\n", body=b"", ours=NO_PAGE, why=HALF),
]  # fmt: skip

GROUPS = {
    "versions": _VERSIONS, "status": _STATUS, "in front": _IN_FRONT, "interim": _INTERIM, "length": _LENGTH,
    "chunked": _CHUNKED, "lines": _LINES, "no body": _NO_BODY, "content": _CONTENT, "broken": _BROKEN,
}  # fmt: skip
ODDITIES = [oddity for group in GROUPS.values() for oddity in group]
