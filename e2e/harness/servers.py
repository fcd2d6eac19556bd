"""Real servers as devices on a machine's LAN: FUXA, Node-RED, the pymodbus simulator, TigerVNC with X programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from e2e.harness.processes import REPOSITORY, Process, listening

NODE_RED = REPOSITORY / ".cache" / "node-red-4.1.8" / "node_modules" / "node-red"
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


def start_node_red(directory: Path, port: int) -> Process:
    """Node-RED on 127.0.0.1 and `port`: its editor, and a value that counts on each of its two dashboards."""
    directory.mkdir(parents=True)
    (directory / "settings.js").write_text(
        f'module.exports = {{uiPort: {port}, uiHost: "127.0.0.1", flowFile: "flows.json", '
        f"nodesDir: [], credentialSecret: false, userDir: {json.dumps(str(directory))}}};"
    )
    (directory / "package.json").write_text('{"name": "plant", "version": "0.0.1", "private": true}')
    # It looks for further nodes in its user's folder.
    (directory / "node_modules").symlink_to(NODE_RED.parent)
    (directory / "flows.json").write_text(json.dumps(_NODE_RED_FLOWS))
    command = ["node", NODE_RED / "red.js", "--userDir", directory, "--settings", directory / "settings.js"]
    process = Process("node-red", command, directory / "node-red.log")
    process.wait_for("Node-RED has started its flows", lambda: "Started flows" in process.text, 60)
    return process


_NODE_RED_FLOWS: list[dict[str, object]] = [
    {"id": "tab", "type": "tab", "label": "Press"},
    {
        "id": "tick", "type": "inject", "z": "tab", "name": "", "props": [], "repeat": "0.3", "once": True,
        "onceDelay": 0.1, "wires": [["count"]],
    },
    {
        "id": "count", "type": "function", "z": "tab", "outputs": 1, "wires": [["text1", "text2"]],
        "func": "const n = (context.get('n') || 0) + 1; context.set('n', n); return {payload: 'Part ' + n};",
    },
    {"id": "ui1tab", "type": "ui_tab", "name": "Press", "icon": "dashboard", "order": 1},
    {"id": "ui1group", "type": "ui_group", "name": "Line", "tab": "ui1tab", "order": 1, "disp": True, "width": "6"},
    {
        "id": "text1", "type": "ui_text", "z": "tab", "group": "ui1group", "order": 1, "label": "Counter",
        "format": "{{msg.payload}}", "layout": "row-spread", "wires": [],
    },
    {"id": "ui2base", "type": "ui-base", "name": "Plant", "path": "/dashboard", "includeClientData": True},
    {"id": "ui2theme", "type": "ui-theme", "name": "Theme"},
    {
        "id": "ui2page", "type": "ui-page", "name": "Press", "ui": "ui2base", "path": "/press", "icon": "home",
        "layout": "grid", "theme": "ui2theme", "order": 1, "visible": "true", "disabled": "false",
    },
    {
        "id": "ui2group", "type": "ui-group", "name": "Line", "page": "ui2page", "width": "6", "height": "1",
        "order": 1, "showTitle": True, "visible": "true", "disabled": "false",
    },
    {
        "id": "text2", "type": "ui-text", "z": "tab", "group": "ui2group", "order": 1, "label": "Counter",
        "format": "{{msg.payload}}", "layout": "row-spread", "wires": [],
    },
]  # fmt: skip


def start_modbus_simulator(directory: Path, port: int, modbus_port: int) -> Process:
    """The pymodbus simulator: a server-made page on 127.0.0.1 and `port`, and Modbus TCP on `modbus_port`."""
    directory.mkdir(parents=True)
    setup = {
        "server_list": {
            "server": {"comm": "tcp", "host": "127.0.0.1", "port": modbus_port, "framer": "socket", "identity": {}}
        },
        "device_list": {
            "device": {
                "setup": {
                    "co size": 100, "di size": 100, "hr size": 100, "ir size": 100, "shared blocks": True,
                    "type exception": True,
                    "defaults": {
                        "value": {"bits": 0, "uint16": 0, "uint32": 0, "float32": 0.0, "float64": 0.0, "string": " "},
                        "action": {
                            "bits": None, "uint16": "increment", "uint32": None, "float32": None, "float64": None,
                            "string": None,
                        },
                    },
                },
                "invalid": [], "write": [], "bits": [], "uint16": [{"addr": 3, "value": 17001, "action": "increment"}],
                "uint32": [], "float32": [], "float64": [], "string": [], "repeat": [],
            }
        },
    }  # fmt: skip
    (directory / "setup.json").write_text(json.dumps(setup))
    program = Path(sys.executable).with_name("pymodbus.simulator")
    process = Process(
        "pymodbus simulator",
        [
            program, "--http_host", "127.0.0.1", "--http_port", str(port), "--modbus_server", "server",
            "--modbus_device", "device", "--json_file", directory / "setup.json",
            "--log_file", directory / "server.log",
        ],
        directory / "simulator.log",
    )  # fmt: skip
    process.wait_for("the simulator listens", lambda: listening(port), 40)
    return process


def start_hard_coded(directory: Path, page: int, socket: int, trend: int) -> Process:
    """An HMI that names its own address, its WebSocket's port and its trend page's everywhere, on 127.0.0.1."""
    directory.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fakes.hard_coded", "127.0.0.1", *map(str, (page, socket, trend))]
    process = Process("hard-coded HMI", command, directory / "hmi.log")
    process.wait_for("the HMI listens", lambda: all(map(listening, (page, socket, trend))), 20)
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
