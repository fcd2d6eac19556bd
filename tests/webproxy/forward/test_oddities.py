"""After every odd answer the next request is answered cleanly, on a new connection where the end was in doubt."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from tests.fakes.front import Answer, Device, Front, running
from tests.vectors.oddities import GROUPS, KEEP, RESET, Oddity

CLEAN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nclean"


class OddDevice(Device):
    """Answers /odd with `oddity`, and anything else cleanly. `served` is (number of the connection, target)."""

    def __init__(self) -> None:
        super().__init__(handler=self.serve)
        self.oddity: Oddity | None = None
        self.served: list[tuple[int, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        while True:
            head = await self.head(reader)
            target = head.split(b" ", 2)[1].decode()
            self.served.append((number, target))
            oddity = self.oddity
            if target != "/odd" or oddity is None:
                writer.write(CLEAN)
                continue
            writer.write(oddity.answer)
            await writer.drain()
            if oddity.ends == RESET:
                handle: socket.socket = writer.get_extra_info("socket")
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            if oddity.ends != KEEP:
                return


async def asked(front: Front, method: str) -> Answer | None:
    """The answer to /odd on a browser connection of its own; None when it was broken off."""
    raw = await front.connect()
    raw.send(front.head(method, "/odd", Accept="*/*"))
    try:
        answer = await raw.read(method.encode())
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):  # the last: an end where a chunk should begin
        return None
    finally:
        await raw.closed()
    return answer


@pytest.mark.parametrize("group", GROUPS)
async def test_the_next_request_is_clean(group: str) -> None:
    device = OddDevice()
    async with running(device) as front:
        for oddity in GROUPS[group]:
            device.oddity = oddity
            device.served.clear()
            answer = await asked(front, oddity.method)
            status, body, _ = oddity.read
            if status is None:
                assert answer is None or answer.status == 502, oddity.name
            else:
                assert answer is not None, oddity.name
                assert (answer.status, answer.body) == (status, body), oddity.name
                assert not answer.values("x-late"), oddity.name
            for _ in range(2):
                after = await front.ask(front.head(target="/clean"))
                assert (after.status, after.body) == (200, b"clean"), oddity.name
            first, second = device.served[0], next(one for one in device.served if one[1] == "/clean")
            if oddity.ends == KEEP:
                # A device that stays is asked again on the same connection only when its answer's end was beyond doubt.
                assert (first[0] == second[0]) is oddity.reused, oddity.name
            else:
                assert first[0] != second[0], oddity.name
