"""A look at a panel: what its agent says when a service is dialled now, for the portal's certificate page.

Nobody's fingerprint is believed but the agent's, and it is fetched anew for each page: a link can't carry one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from panelgate.errors import Unavailable
from webproxy.forward import problems
from webproxy.forward.certificate import Shown, read
from webproxy.forward.problems import Problem

if TYPE_CHECKING:
    from panelgate.circuit import Circuit

LOOK_SECONDS: Final = 25.0  # the agent gives a panel ten seconds, and looks up to twice more to name what it saw
# A panel that accepts the connection waits for a request, and the agent doesn't tell that it was accepted.
QUESTION: Final = b"HEAD / HTTP/1.0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Seen:
    """`shown` is the certificate that was refused; without it `problem` says what else stopped the look.

    With neither the panel was reached: the present settings accept it.
    """

    shown: Shown | None = None
    problem: Problem | None = None


class _Eye(asyncio.Protocol):
    def __init__(self) -> None:
        self.done: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()

    def _set(self, seen: Seen) -> None:
        if not self.done.done():
            self.done.set_result(seen)

    def data_received(self, data: bytes) -> None:
        del data
        self._set(Seen())

    def eof_received(self) -> bool:
        self._set(Seen())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        shown = read(exc)
        if shown is not None:
            self._set(Seen(shown))
        elif exc is None:
            self._set(Seen())
        else:
            self._set(Seen(problem=problems.of_stream(exc)))


async def look(circuit: Circuit, service_id: str) -> Seen:
    """Dial the service once and close again. Unavailable when the circuit has gone."""
    eye = _Eye()
    stream = circuit.open_stream(service_id, eye)
    try:
        stream.write(QUESTION)
        async with asyncio.timeout(LOOK_SECONDS):
            return await eye.done
    except TimeoutError as error:
        raise Unavailable("relay_lost", "the agent did not answer in time") from error
    finally:
        stream.abort()
