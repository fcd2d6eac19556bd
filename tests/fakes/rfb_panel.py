"""A panel that speaks just enough RFB for tests of the bridge, on a loopback port."""

from __future__ import annotations

import asyncio
import struct

from webproxy.forward import vncauth

CHALLENGE = bytes(range(100, 116))
SERVER_INIT = struct.pack(">HH16sI", 800, 480, bytes(16), 7) + b"Press 7"


class RfbPanel:
    """`async with RfbPanel(...) as panel`: `panel.port`, `panel.received` (after ClientInit), `panel.attempts`.

    `script` replaces the handshake: it is sent at once, whatever the client says.
    """

    def __init__(
        self, *, password: str | None = None, reason: str = "Authentication failure", script: bytes | None = None,
        hang_up: bool = False,
    ) -> None:  # fmt: skip
        self.password, self.reason, self.script, self.hang_up = password, reason, script, hang_up
        self.received = bytearray()
        self.shared: list[int] = []
        self.attempts = 0
        self.connections = 0
        self.changed = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> RfbPanel:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    def send(self, data: bytes) -> None:
        """To the viewer that came last."""
        self.writers[-1].write(data)

    async def wait_for(self, data: bytes) -> None:
        """Until exactly `data` has come from viewers."""
        async with asyncio.timeout(3):
            while bytes(self.received) != data:
                self.changed.clear()
                await self.changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            if self.script is not None:
                writer.write(self.script)
                if self.hang_up:
                    writer.close()
                await reader.read()
                return
            if not await self._handshake(reader, writer):
                writer.close()
                return
            self.shared.append((await reader.readexactly(1))[0])
            writer.write(SERVER_INIT)
            while data := await reader.read(65536):
                self.received += data
                self.changed.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"RFB 003.008\n")
        await reader.readexactly(12)
        kind = b"\x01" if self.password is None else b"\x02"
        writer.write(b"\x01" + kind)
        if await reader.readexactly(1) != kind:
            return False
        if self.password is not None:
            writer.write(CHALLENGE)
            self.attempts += 1
            if await reader.readexactly(16) != vncauth.response(self.password, CHALLENGE):
                reason = self.reason.encode()
                writer.write(struct.pack(">II", 1, len(reason)) + reason)
                return False
        writer.write(bytes(4))
        return True
