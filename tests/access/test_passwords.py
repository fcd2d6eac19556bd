"""Passwords."""

from __future__ import annotations

import threading
import time

import pytest

from access import passwords
from access.passwords import Hasher, check_new
from panelgate.errors import BadInput, Unavailable


def test_right_wrong_and_nobody(fast_hasher: Hasher) -> None:
    stored = fast_hasher.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert fast_hasher.verify(stored, "correct horse")
    assert not fast_hasher.verify(stored, "correct Horse")
    assert not fast_hasher.verify(None, "nobody has this password")
    assert not fast_hasher.verify("not a hash", "x")


def test_the_real_cost_is_that_of_the_rfc() -> None:
    stored = Hasher().hash("x")
    assert "m=65536,t=3,p=1" in stored


def test_nobody_takes_as_long_as_somebody() -> None:
    hasher = Hasher(time_cost=2, memory_kib=8192)
    stored = hasher.hash("correct horse")

    def best(value: str | None) -> float:
        times = []
        for _ in range(7):
            start = time.process_time()
            hasher.verify(value, "wrong")
            times.append(time.process_time() - start)
        return min(times)

    assert best(None) == pytest.approx(best(stored), rel=0.5)


def test_weaker_hashes_are_recognised(fast_hasher: Hasher) -> None:
    stored = fast_hasher.hash("x")
    assert not fast_hasher.outdated(stored)
    assert Hasher(time_cost=2, memory_kib=8).outdated(stored)


def test_how_many_run_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    hasher = Hasher(time_cost=1, memory_kib=8, at_once=1)
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with hasher._slot():
            held.set()
            release.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    with pytest.raises(Unavailable, match="Try again"):
        hasher.hash("x")
    release.set()
    thread.join()
    assert hasher.hash("x")


@pytest.mark.parametrize("bad", ["short", "x" * 257, "aaaaaaaaaaaa", "anna.miller1"])
def test_new_passwords_that_are_refused(bad: str) -> None:
    with pytest.raises(BadInput):
        check_new(bad, "Anna.Miller1")


def test_new_passwords_that_may_be_used() -> None:
    check_new("ten letter", "anna")
    check_new("ümläut pässwörter", "anna")
