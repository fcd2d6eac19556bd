"""A look at a panel: what the agent says, and an end in every case."""

from __future__ import annotations

from typing import Any, cast

import pytest

from panelgate.errors import Unavailable
from panelgate.frames import StreamError
from tests.fakes.circuit import FakeCircuit, FakeReset
from tests.fakes.front import Device
from webproxy.forward.certificate import Shown
from webproxy.look import Seen, look

TEXT = "certificate sha256 " + ":".join(["AB"] * 32)


@pytest.mark.parametrize(
    ("reset", "seen"),
    [
        (FakeReset(StreamError.TLS, TEXT), Seen(Shown("ab" * 32))),
        (
            FakeReset(StreamError.TLS, f"{TEXT} self-signed certificate"),
            Seen(Shown("ab" * 32, "self-signed certificate")),
        ),
        (FakeReset(StreamError.TLS, "certificate none"), Seen(Shown(""))),
    ],
)
async def test_a_certificate_that_is_refused_is_seen(reset: FakeReset, seen: Seen) -> None:
    circuit: Any = FakeCircuit({"svc": reset})
    assert await look(circuit, "svc") == seen
    assert circuit.open_streams == set()


async def test_whatever_else_stops_it_is_a_problem() -> None:
    circuit: Any = FakeCircuit({"svc": FakeReset(StreamError.TIMEOUT, "connect")})
    seen = await look(circuit, "svc")
    assert seen.shown is None
    assert seen.problem is not None
    assert seen.problem.kind == "timeout"


async def test_a_panel_that_answers_was_accepted_and_is_left_alone() -> None:
    device = Device()
    await device.start()
    try:
        circuit = FakeCircuit({"svc": ("127.0.0.1", device.port)})
        assert await look(cast("Any", circuit), "svc") == Seen()
        assert circuit.open_streams == set()
        (head,) = device.heads
        assert head.startswith(b"HEAD / HTTP/1.0\r\n")
    finally:
        await device.stop()


async def test_a_circuit_that_is_gone_is_said() -> None:
    circuit = FakeCircuit({})
    circuit.is_open = False
    with pytest.raises((Unavailable, ConnectionError)):
        await look(cast("Any", circuit), "svc")
