from __future__ import annotations

import pytest

from panelgate.errors import BadInput, Refused, Unavailable
from panelgate.frames import StreamError
from tests.fakes.circuit import FakeReset
from webproxy.forward import problems


@pytest.mark.parametrize("code", list(StreamError))
def test_every_end_of_a_stream_has_a_page(code: StreamError) -> None:
    problem = problems.of_stream(FakeReset(code))
    assert problem.status >= 400
    assert problem.title
    assert problem.happened.endswith(".")
    assert problem.todo.endswith(".")


def test_tls_says_the_fault_and_what_the_agent_advises() -> None:
    assert "wrong version" in problems.of_stream(FakeReset(StreamError.TLS, "wrong version")).happened
    text = "the device speaks only TLS 1.0: choose the legacy profile"
    problem = problems.of_stream(FakeReset(StreamError.TLS, text))
    assert problem.happened.endswith("failed: the device speaks only TLS 1.0.")
    assert problem.todo.startswith("Choose the legacy profile.")


def test_errors_of_access() -> None:
    offline = problems.of_error(Unavailable("device_offline", "", {"since": "2026", "secret": "x"}))
    assert (offline.kind, dict(offline.facts)) == ("device_offline", {"since": "2026"})
    assert problems.of_error(Refused("no_session")).kind == "no_session"
    assert problems.of_error(Refused("anything")).kind == "not_allowed"
    assert problems.of_error(Unavailable("anything", "odd")).happened == "odd."
    assert problems.of_error(BadInput("x")).status == 500
    assert problems.of_stream(None) is problems.CLOSED_EARLY
    assert problems.of_stream(FakeReset(9999)) is problems.CLOSED_EARLY


def test_made_pages() -> None:
    assert "10.0.0.9" in problems.redirected("http://10.0.0.9").happened
    assert "NUL" in problems.garbage("there is a NUL").happened


@pytest.mark.parametrize("code", ["disk_full", "database_busy"])
def test_the_servers_own_trouble_is_not_blamed_on_the_machine(code: str) -> None:
    problem = problems.of_error(Unavailable(code, "The disk is full: nothing was changed."))
    assert (problem.status, problem.kind) == (503, "server_trouble")
    assert problem.happened == "The disk is full: nothing was changed."
    assert problem.retry_seconds
