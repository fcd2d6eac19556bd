"""Real servers as devices on a machine's LAN: FUXA, TigerVNC with X programs, nginx."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from e2e.harness.processes import REPOSITORY, Process, listening

FUXA = REPOSITORY / ".cache" / "fuxa-1.3.4" / "node_modules" / "@frangoteam" / "fuxa"


def start_fuxa(directory: Path, port: int, *, prefix: Sequence[str] = ()) -> Process:
    """FUXA with its demonstration project, on 127.0.0.1 and `port`."""
    settings = directory / "_appdata" / "settings.js"
    settings.parent.mkdir(parents=True)
    text = (FUXA / "settings.default.js").read_text()
    # It listens on all interfaces unless told otherwise.
    settings.write_text(text.replace("uiPort:", 'uiHost: "127.0.0.1",\n    uiPort:', 1))
    process = Process(
        "fuxa",
        [*prefix, "node", FUXA / "main.js", "--userDir", directory],
        directory / "fuxa.log",
        env={"PORT": str(port)},
    )
    process.wait_for("FUXA listens", lambda: listening(port), 40)
    project = (FUXA / "project.demo.fuxap").read_bytes()
    request = Request(
        f"http://127.0.0.1:{port}/api/project",
        data=project,
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    json.loads(project)
    return process


def _free_display() -> int:
    """The number of an X display that nobody uses."""
    used = {path.name for path in Path("/tmp/.X11-unix").glob("X*")} | {
        path.name[2:-5] for path in Path("/tmp").glob(".X*-lock")
    }
    return next(number for number in range(100, 1000) if not {f"X{number}", str(number)} & used)


class Panel:
    """A VNC panel: TigerVNC with a password, a coloured screen, and xev, which prints what reaches it."""

    def __init__(
        self, directory: Path, *, port: int, password: str | None = "plc12345", host: str = "127.0.0.1",
        colour: str = "#204080", geometry: str = "800x480", prefix: Sequence[str] = (),
    ) -> None:  # fmt: skip
        directory.mkdir(parents=True, exist_ok=True)
        display = _free_display()
        self.port, self.display = port, f":{display}"
        security = ["-SecurityTypes", "None"]
        if password is not None:
            secret = directory / "passwd"
            secret.write_bytes(
                subprocess.run(
                    ["tigervncpasswd", "-f"], input=f"{password}\n".encode(), capture_output=True, check=True
                ).stdout
            )
            secret.chmod(0o600)
            security = ["-SecurityTypes", "VncAuth", "-PasswordFile", str(secret)]
        command = [
            *prefix, "Xtigervnc", self.display, "-rfbport", str(port), "-interface", host, *security,
            "-geometry", geometry, "-depth", "24", "-AlwaysShared", "-noreset", "-BlacklistThreshold", "1000",
        ]  # fmt: skip
        self.server = Process("Xtigervnc", command, directory / "vnc.log")
        socket_file = Path(f"/tmp/.X11-unix/X{display}")
        self.server.wait_for("the X server is up", socket_file.exists)
        self.server.wait_for("the panel listens", lambda: prefix != () or listening(port, host))
        self._run("xsetroot", "-solid", colour)
        self.events = Process(
            "xev", ["xev", "-display", self.display, "-geometry", "300x200+50+40"], directory / "xev.log"
        )
        self.events.wait_for(
            "xev shows its window", lambda: "MapNotify" in self.events.text or "Expose" in self.events.text
        )

    def _run(self, *command: str) -> None:
        subprocess.run([*command[:1], "-display", self.display, *command[1:]], check=True, timeout=10)

    def keysyms(self) -> list[str]:
        """Names of the keys pressed in the X program's window so far."""
        return re.findall(r"KeyPress event.*?keysym 0x[0-9a-f]+, (\w+)\)", self.events.text, re.DOTALL)

    def clicks(self) -> list[tuple[int, int]]:
        """Where on the screen (x, y) a button went down so far."""
        found = re.findall(r"ButtonPress event.*?root:\((\d+),(\d+)\)", self.events.text, re.DOTALL)
        return [(int(x), int(y)) for x, y in found]

    def close(self) -> None:
        """Switch the panel off."""
        self.events.stop()
        self.server.stop()
