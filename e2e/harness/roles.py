"""More roles beside the supervisor's: a second relay, a web proxy that serves HTTPS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from e2e.harness.installation import PANELGATE, Installation
from e2e.harness.processes import Process, free_port, listening


class Role:
    """A relay or web proxy that joined an installation with a token of its own, and serves."""

    def __init__(self, installation: Installation, role: str, name: str, **settings: str) -> None:
        self.port = free_port()
        prefix = f"PANELGATE_{role.upper()}_"
        own = {"DATA": str(installation.directory / name), "PORT": str(self.port), "ACCESS": installation.access_url}
        environment = {prefix + key: value for key, value in (own | settings).items()}
        if role == "relay":
            environment[prefix + "URL"] = self.url = f"wss://127.0.0.1:{self.port}"
        access = {"PANELGATE_ACCESS_DATA": str(installation.data / "access")}
        token = self._say("access", "join-token", "--role", role, environment=access)
        self._say(role, "join", "--token", token, environment=environment)
        self.log = installation.directory / f"{name}.log"
        self.process = Process(name, [PANELGATE, role, "serve"], self.log, env=environment)
        self.process.wait_for(f"{name} listens", lambda: listening(self.port))

    @staticmethod
    def _say(*words: str, environment: dict[str, str]) -> str:
        done = subprocess.run(
            [PANELGATE, *words], env={**os.environ, **environment}, capture_output=True, text=True, timeout=30,
            check=False, cwd=Path("/"),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().splitlines()[-1]

    def stop(self) -> None:
        """End it."""
        self.process.stop()
