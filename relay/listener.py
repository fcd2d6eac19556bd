"""Accepting TLS connections, with a say before the first byte of a handshake is computed.

asyncio's own server starts a handshake for whoever connects; here an address is asked for admission first.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from panelgate.log import get_logger
from panelgate.tasks import spawn
from relay.limits import Admission

log = get_logger(__name__)

BACKLOG = 1024  # connections that the kernel keeps for us while we are busy
ACCEPTS = 64  # accepted in one turn of the loop, so that a flood does not starve the circuits
PAUSE_SECONDS = 1.0  # when no file descriptor is left: nothing changes within microseconds


class Listener:
    """Listening sockets, and a handshake task for each connection that was let in."""

    def __init__(
        self,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.BaseProtocol],
        admission: Admission,
        handshake_seconds: float,
    ) -> None:
        self._context = context
        self._factory = factory
        self._admission = admission
        self._seconds = handshake_seconds
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        self.port = 0
        self.failed = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on every address of `host`; `port` 0 takes a free one. OSError when that can't be done."""
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            self._sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind((address[0], self.port or port, *address[2:]))
            sock.listen(BACKLOG)
            self.port = sock.getsockname()[1]
        self._listen()

    def close(self) -> None:
        """Accept nobody any more; connections that are there stay."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _listen(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, peer = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("can't accept", reason=str(error))
                self._loop.remove_reader(sock)
                self._loop.call_later(PAUSE_SECONDS, self._listen)
                return
            address = str(peer[0])
            if self._admission.begin(address):
                connection.setblocking(False)
                spawn("handshake", self._handshake(connection, address))
            else:
                connection.close()

    async def _handshake(self, connection: socket.socket, address: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
        except (OSError, ssl.SSLError, TimeoutError, ValueError) as error:
            self.failed += 1
            log.debug("handshake failed", address=address, reason=str(error))
            with contextlib.suppress(OSError):
                connection.close()
        finally:
            self._admission.finish(address)
