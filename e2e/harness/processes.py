"""Child processes that are waited for by what they do, and that never outlive the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.05


class NotReady(AssertionError):
    """Something that should have happened within its time did not."""


def wait_until(what: str, happened: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll `happened` until it is true; NotReady naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not happened():
        if time.monotonic() > deadline:
            raise NotReady(f"not within {seconds:g} s: {what}")
        pause.wait(POLL_SECONDS)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Process:
    """One child in a process group of its own, its output in a file that a failed wait shows."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, *, env: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._file = log.open("ab")
        self.child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, cwd=REPOSITORY, start_new_session=True,
        )  # fmt: skip

    @property
    def text(self) -> str:
        """Everything printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, what: str, happened: Callable[[], bool], seconds: float = 20.0) -> None:
        """Like `wait_until`, but a child that has ended fails at once, and its last lines are shown."""

        def alive_and_happened() -> bool:
            if self.child.poll() is not None:
                raise NotReady(f"{self.name} ended with {self.child.returncode}:\n{self.text[-3000:]}")
            return happened()

        try:
            wait_until(what, alive_and_happened, seconds)
        except NotReady as error:
            raise NotReady(f"{error}\n--- {self.name} said:\n{self.text[-3000:]}") from error

    def stop(self, how: int = signal.SIGTERM, seconds: float = 10.0) -> None:
        """End the whole group, by force when it does not listen."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, how)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, signal.SIGKILL)
                self.child.wait(seconds)
        self._file.close()
