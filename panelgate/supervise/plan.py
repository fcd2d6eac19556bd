"""What runs where on one machine: ports, folders, and each role's command and environment. Pure."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from panelgate.names import Sites
from panelgate.supervise.child import Spec

HERE = "127.0.0.1"
HMI = ("127.0.80.10", 8081)
PANEL = ("127.0.80.11", 5900)


@dataclass(frozen=True)
class Plan:
    """An installation on one machine. `environment` is what the roles inherit beside their own settings."""

    data: Path
    port: int
    access_port: int
    relay_port: int
    demo: bool
    environment: Mapping[str, str]
    origins: str = "names"
    command: Sequence[str] = (sys.executable, "-m", "panelgate")

    @property
    def access_url(self) -> str:
        """Where roles and agents reach the access server."""
        return f"https://{HERE}:{self.access_port}"

    @property
    def relay_url(self) -> str:
        """Where web proxies and agents reach the relay."""
        return f"wss://{HERE}:{self.relay_port}"

    @property
    def portal(self) -> str:
        """What a person opens."""
        return Sites("localhost", "http", self.port).portal_origin

    @property
    def authority(self) -> Path:
        """The installation's own CA certificate."""
        return self.data / "access" / "ca" / "ca.pem"

    @property
    def agent_state(self) -> Path:
        """The demonstration agent's folder."""
        return self.data / "demo" / "agent"

    def identity(self, role: str) -> Path:
        """Where a role's key and certificate are."""
        return self.data / role / "identity"

    def ports(self) -> list[tuple[str, str, int, str]]:
        """Return (what listens, address, port, how to choose another) of everything that will listen."""
        found = [
            ("The web proxy", HERE, self.port, "Choose another one: make run PORT=8090"),
            ("The access server", HERE, self.access_port, "Choose another one: ACCESS_PORT=8451"),
            ("The relay", HERE, self.relay_port, "Choose another one: RELAY_PORT=8452"),
        ]
        if self.demo:
            found += [
                ("The demonstration HMI", *HMI, "Run without the demonstration: make run DEMO=0"),
                ("The demonstration panel", *PANEL, "Run without the demonstration: make run DEMO=0"),
            ]
        return found

    def spec(self, name: str, *words: str, **extra: str) -> Spec:
        """Return a command with the settings of this installation; `extra` goes into its environment."""
        # Whoever wants agents from elsewhere sets these in his environment; the rest is the plan's.
        defaults = {
            "PANELGATE_ACCESS_HOST": HERE,
            "PANELGATE_ACCESS_URL": self.access_url,
            "PANELGATE_RELAY_HOST": HERE,
            "PANELGATE_RELAY_URL": self.relay_url,
            "PANELGATE_WEBPROXY_HOST": HERE,
        }
        settings = {
            "PYTHONUNBUFFERED": "1",
            "PANELGATE_ACCESS_DATA": str(self.data / "access"),
            "PANELGATE_ACCESS_PORT": str(self.access_port),
            "PANELGATE_RELAY_DATA": str(self.data / "relay"),
            "PANELGATE_RELAY_ACCESS": self.access_url,
            "PANELGATE_RELAY_PORT": str(self.relay_port),
            "PANELGATE_WEBPROXY_DATA": str(self.data / "webproxy"),
            "PANELGATE_WEBPROXY_ACCESS": self.access_url,
            "PANELGATE_WEBPROXY_PORT": str(self.port),
            "PANELGATE_ORIGINS": self.origins,
        }
        if self.demo:
            settings["PANELGATE_ACCESS_LAN_LOOPBACK"] = "1"
        return Spec(name, words, {**defaults, **self.environment, **settings, **extra}, self.command)

    def hmi(self) -> Spec:
        """Return the demonstration's web HMI."""
        spec = self.spec("demo-hmi", "demo", "hmi", "--host", HMI[0], "--port", str(HMI[1]))
        return replace(spec, ready_event="hmi shown")

    def panel(self) -> Spec:
        """Return the demonstration's VNC panel."""
        spec = self.spec("demo-panel", "demo", "panel", "--host", PANEL[0], "--port", str(PANEL[1]))
        return replace(spec, ready_event="panel shown")

    def enrol(self, key: str) -> Spec:
        """Return the enrolment of the demonstration's agent; the key goes by the environment, not the command line."""
        return self.spec(
            "agent",
            *("agent", "enrol", "--access", self.access_url, "--state", str(self.agent_state)),
            *("--allow", HMI[0], "--allow", PANEL[0]),
            PANELGATE_AGENT_KEY=key,
        )

    def agent(self) -> Spec:
        """Return the demonstration's agent."""
        return self.spec("agent", "agent", "run", "--state", str(self.agent_state))
