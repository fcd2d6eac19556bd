"""An installation as `make run` starts it: the supervisor and its processes, on ports and data of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from e2e.harness.processes import Process, free_port, listening, wait_until

START_SECONDS = 60.0  # four Python processes on a busy machine
PANELGATE = Path(sys.executable).with_name("panelgate")


@dataclass
class Installation:
    """One process tree. `hosts` are addresses, beside loopback, that agents elsewhere reach it on.

    `link_port`: where the relay is found by others, when something stands in front of it.
    """

    directory: Path
    demo: bool = True
    hosts: Sequence[str] = ()
    origins: str = "names"
    origin_ports: str = ""
    port: int = field(default_factory=free_port)
    access_port: int = field(default_factory=free_port)
    relay_port: int = field(default_factory=free_port)
    link_port: int = 0
    process: Process | None = None

    @property
    def portal(self) -> str:
        """The portal's origin."""
        return f"http://portal.localhost:{self.port}"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.directory / "data"

    @property
    def access_url(self) -> str:
        """The access server's address for agents."""
        return f"https://{self.hosts[0] if self.hosts else '127.0.0.1'}:{self.access_port}"

    def service_origin(self, label: str) -> str:
        """A service's origin, with the path that it stands below where services share one host."""
        if self.origins == "paths":
            return f"http://apps.localhost:{self.port}/{label}"
        return f"http://{label}.apps.localhost:{self.port}"

    def start(self) -> None:
        """Start it and wait until the link is printed and answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        listen = "0.0.0.0" if self.hosts else "127.0.0.1"
        names = ",".join(["localhost", "127.0.0.1", *self.hosts])
        outside = self.hosts[0] if self.hosts else "127.0.0.1"
        environment = {
            "PORT": str(self.port),
            "DATA": str(self.data),
            "DEMO": "1" if self.demo else "0",
            "ORIGINS": self.origins,
            **({"PANELGATE_ORIGIN_PORTS": self.origin_ports} if self.origin_ports else {}),
            "ACCESS_PORT": str(self.access_port),
            "RELAY_PORT": str(self.relay_port),
            # The devices of these tests are on loopback addresses of their own.
            "PANELGATE_ACCESS_LAN_LOOPBACK": "1",
            "PANELGATE_ACCESS_HOST": listen,
            "PANELGATE_ACCESS_NAMES": names,
            "PANELGATE_ACCESS_URL": self.access_url,
            "PANELGATE_RELAY_HOST": listen,
            "PANELGATE_RELAY_NAMES": names,
            "PANELGATE_RELAY_URL": f"wss://{outside}:{self.link_port or self.relay_port}",
        }
        # Each run's log is a file of its own: the link of an earlier run must not be taken for this one's.
        number = len(list(self.directory.glob("run-*.log")))
        self.process = Process(
            "panelgate run", [PANELGATE, "run"], self.directory / f"run-{number}.log", env=environment
        )
        self.process.wait_for("the link is printed", lambda: self.link is not None, START_SECONDS)
        self.process.wait_for("the web proxy listens", lambda: listening(self.port))

    @property
    def link(self) -> str | None:
        """The link that was printed, with the set-up code on a first run."""
        assert self.process is not None
        found = re.search(rf"http://portal\.localhost:{self.port}/\S*", self.process.text)
        return found.group(0) if found else None

    @property
    def setup_code(self) -> str:
        """The one-time code of the first visit."""
        return (self.link or "").partition("#code=")[2]

    def role(self, *words: str) -> psutil.Process:
        """The process of one role, by the words of its command, such as "relay", "serve"."""
        assert self.process is not None
        for child in psutil.Process(self.process.child.pid).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if " ".join(words) in " ".join(command):
                return child
        raise AssertionError(f"no process {' '.join(words)}")

    def kill(self, *words: str) -> int:
        """kill -9 one role; its former process id."""
        process = self.role(*words)
        process.send_signal(signal.SIGKILL)
        wait_until(f"{words} is dead", lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
        return process.pid

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process is not None:
            # As a terminal does it: the signal goes to the supervisor, which stops the others in order.
            if self.process.child.poll() is None:
                self.process.child.send_signal(signal.SIGINT)
                try:
                    self.process.child.wait(15)
                except subprocess.TimeoutExpired:
                    self.process.stop(signal.SIGKILL)
            self.process.stop()


class Agent:
    """An agent beside the supervisor's own: another machine, perhaps in a network of its own (`prefix`)."""

    def __init__(
        self, installation: Installation, name: str, key: str, *, allow: Sequence[str] = (), prefix: Sequence[str] = ()
    ) -> None:
        self.state = installation.directory / f"agent-{name}"
        self._command = [*prefix, str(PANELGATE), "agent"]
        self._log = installation.directory / f"agent-{name}.log"
        allowed = [part for address in allow for part in ("--allow", address)]
        enrolled = subprocess.run(
            [
                *self._command, "enrol", "--key", "-", "--access", installation.access_url,
                "--state", str(self.state), *allowed,
            ],
            input=key, text=True, capture_output=True, timeout=30, env=dict(os.environ), check=False,
        )  # fmt: skip
        assert enrolled.returncode == 0, enrolled.stdout + enrolled.stderr
        self.process: Process | None = None
        self.start()

    def start(self) -> None:
        """Run it."""
        self.process = Process("agent", [*self._command, "run", "--state", str(self.state)], self._log)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        if self.process is not None:
            self.process.stop(how)
