"""A device whose answers are broken or have no end: a request for /NAME gets the bad answer of that name."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from e2e.harness.lan import Listener, heads

GOOD = b"<!doctype html><title>Press</title><h1>Press 4</h1>"
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Bad:
    """What to send: `begin`, after which the device waits until the browser has it, then `pieces`.

    Unless the other side has closed before, the device closes in the end, or it only stays silent.
    """

    pieces: Callable[[], Iterable[bytes]]
    closes: bool = False
    begin: bytes = b""


@dataclass
class Seen:
    """What became of one bad answer. `over`: the other side has closed; `begun` is for the test to set."""

    connection: int
    sent: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class BadServer(Listener):
    """`bad` names the answers; any other path gets a good page, which the header X-Connection counts."""

    def __init__(self, host: str, bad: dict[str, Bad]) -> None:
        self._bad = bad
        self._numbers = itertools.count(1)
        self.seen: dict[str, Seen] = {}
        super().__init__(host, self._answer)

    def _answer(self, connection: socket.socket) -> None:
        number = next(self._numbers)
        for head in heads(connection):
            path = head.split(b" ", 2)[1].decode()
            bad = self._bad.get(path.strip("/").partition("?")[0])
            if bad is None:
                lines = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Connection: %d\r\n" % number
                connection.sendall(lines + b"Content-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD))
                continue
            self._misbehave(connection, bad, self.seen.setdefault(path, Seen(number)))
            return

    @staticmethod
    def _misbehave(connection: socket.socket, bad: Bad, seen: Seen) -> None:
        try:
            if bad.begin:
                connection.sendall(bad.begin)
                seen.begun.wait(20)
            for piece in bad.pieces():
                connection.sendall(piece)
                seen.sent += len(piece)
            if bad.closes:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                continue
        finally:
            seen.over.set()


def endless(start: bytes, piece: bytes) -> Callable[[], Iterable[bytes]]:
    """`start`, and then a gigabyte of `piece` in sends of 64 KiB."""
    block = piece * (65536 // len(piece))
    return lambda: itertools.chain([start], itertools.repeat(block, GIGABYTE // len(block)))
