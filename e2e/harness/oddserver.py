"""A device that answers a request for /N with the bytes of oddity N, and then does what that oddity says."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from e2e.harness.lan import Listener, heads
from tests.vectors.oddities import KEEP, RESET, Oddity

PAGE = b"<!doctype html><title>Odd</title><link rel=icon href=data:,><h1>Odd answers</h1>"
LINGER_SECONDS = 2.0  # for the client to close first, as it does when it has read what it wants


class OddServer(Listener):
    """Listens on `host`. `connections` and `requests` count; a request for / gets a plain page."""

    def __init__(self, host: str, oddities: Sequence[Oddity], port: int = 0) -> None:
        self.oddities = oddities
        self.connections = 0
        self.requests = 0
        super().__init__(host, self._answer, port)

    def _answer(self, connection: socket.socket) -> None:
        self.connections += 1
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for head in heads(connection):
            self.requests += 1
            name = head.split(b" ", 2)[1].strip(b"/").partition(b"?")[0]
            if not name.isdigit():
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)
                )
                continue
            oddity = self.oddities[int(name)]
            connection.sendall(oddity.answer)
            if oddity.ends == KEEP:
                continue
            if oddity.ends == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(LINGER_SECONDS)
            while connection.recv(65536):
                continue
            return
