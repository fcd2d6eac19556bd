"""The HTTP/1.1 handshake that turns a connection into a WebSocket. No I/O.

Strict on purpose: both ends are ours. Heads are bounded, names are tokens, nothing is folded, a GET has no body.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from panelgate.errors import BadInput

MAX_HEAD: Final = 16 * 1024  # bytes of a request's or answer's head: a ticket is under 2 KiB
MAX_HEADERS: Final = 64
MAX_BODY: Final = 16 * 1024  # bytes of a refusal's JSON body
HEAD_END: Final = b"\r\n\r\n"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(r"/[\x21-\x7e]{0,2047}")


class Request(NamedTuple):
    """The head of a request; header names in lower case. `path` is the target as it was sent."""

    path: str
    headers: dict[str, str]

    @property
    def upgrade(self) -> bool:
        """Whether it asks for a WebSocket."""
        return "upgrade" in _words(self.headers.get("connection", "")) and "websocket" in _words(
            self.headers.get("upgrade", "")
        )


class Answer(NamedTuple):
    """The head of an answer; header names in lower case."""

    status: int
    headers: dict[str, str]


def make_key() -> str:
    """A fresh Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that proves that the server understood `key` (RFC 6455 section 4.2.2)."""
    # SHA-1 is what the RFC says; nothing depends on its strength.
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def make_request(path: str, host: str, key: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of an upgrade request. BadInput when a header can't be written."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
    ]  # fmt: skip
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadInput("bad_header", "a header has characters that HTTP doesn't allow", {"name": name})
        lines.append(f"{name}: {value}")
    if not _TARGET.fullmatch(path):
        raise BadInput("bad_path", "the path has characters that HTTP doesn't allow")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def make_accept(key: str) -> bytes:
    """The bytes of the 101 answer."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n"
    ).encode()


def make_answer(status: int, content_type: str, body: bytes) -> bytes:
    """The bytes of any other answer; the connection ends with it."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Answer"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body


def json_answer(status: int, value: object) -> bytes:
    """An answer with a JSON body."""
    return make_answer(status, "application/json", json.dumps(value).encode())


def parse_request(head: bytes) -> Request:
    """A request from its head, without the empty line. BadInput with the HTTP status to answer."""
    first, headers = _parse_head(head)
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1" or not _TARGET.fullmatch(parts[1]):
        raise BadInput("bad_request", "this is not an HTTP/1.1 request")
    if parts[0] != "GET":
        raise BadInput("bad_method", "only GET is understood here", status=405)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadInput("bad_request", "a GET with a body is not understood here")
    if "host" not in headers:
        raise BadInput("bad_request", "the request names no host")
    return Request(parts[1], headers)


def check_upgrade(request: Request) -> str:
    """The key of an upgrade request; BadInput when it is not the WebSocket of RFC 6455."""
    key = request.headers.get("sec-websocket-key", "")
    if request.headers.get("sec-websocket-version") != "13":
        raise BadInput("bad_websocket", "only WebSocket version 13 is spoken here", status=426)
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    if size != 16:
        raise BadInput("bad_websocket", "the WebSocket key is not 16 bytes in base64")
    return key


def parse_answer(head: bytes) -> Answer:
    """A server's answer from its head, without the empty line. BadInput when it is no HTTP/1.x."""
    first, headers = _parse_head(head)
    parts = first.split(" ", 2)
    if len(parts) < 2 or parts[0] not in ("HTTP/1.1", "HTTP/1.0") or not re.fullmatch(r"[1-9]\d\d", parts[1]):
        raise BadInput("bad_answer", "the server's answer is not HTTP")
    return Answer(int(parts[1]), headers)


def check_accept(answer: Answer, key: str) -> None:
    """BadInput unless a 101 answer proves that a WebSocket server read our key."""
    headers = answer.headers
    if (
        "upgrade" not in _words(headers.get("connection", ""))
        or "websocket" not in _words(headers.get("upgrade", ""))
        or headers.get("sec-websocket-accept") != accept_of(key)
        or "sec-websocket-extensions" in headers
    ):
        raise BadInput("bad_answer", "the server switched to something that is not the WebSocket we asked for")


def _parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    if len(lines) > MAX_HEADERS:
        raise BadInput("bad_request", "too many headers", status=431)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadInput("bad_request", "a header line is malformed")
        name = name.lower()
        if name in headers:
            # Nobody of ours repeats a header, and two readings of a repeated one are how requests are smuggled.
            raise BadInput("bad_request", "a header is there twice", {"name": name})
        headers[name] = value
    return first, headers


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}
