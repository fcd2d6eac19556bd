"""What `panelgate agent status` shows: a small file that the running agent keeps up to date."""

import asyncio
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from panelgate.clock import Clock, iso
from panelgate.log import get_logger
from panelgate.pki import write_private

log = get_logger(__name__)

WRITE_SECONDS: Final = 2.0  # at most this often: the file may lie on flash memory

# What a person reads for each state.
STATES: Final = {
    "starting": "starting",
    "connecting": "connecting",
    "online": "online",
    "waiting": "not connected, trying again",
    "revoked": "refused by the access server",
    "stopped": "stopped",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the agent. Times are ISO 8601 in UTC; `last_error` is a sentence."""

    state: str = "starting"
    since: str = ""
    account: str = ""
    device: str = ""
    access: str = ""
    relay: str | None = None
    circuits: int = 0
    config_version: int = 0
    last_error: str | None = None
    last_error_at: str | None = None
    pid: int = 0


class Status:
    """Keeps the file; changes within WRITE_SECONDS are written together."""

    def __init__(self, path: Path, clock: Clock, **fixed: Any) -> None:
        self._path = path
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self.now = Snapshot(since=iso(clock.now()), pid=os.getpid(), **fixed)

    def set(self, state: str, *, relay: str | None = None) -> None:
        """Enter a state, with the relay's address when there is one."""
        if (state, relay) != (self.now.state, self.now.relay):
            self.now = replace(self.now, state=state, relay=relay, since=iso(self._clock.now()))
            self.write()

    def failed(self, words: str) -> None:
        """Note what went wrong last, as a sentence."""
        self.now = replace(self.now, last_error=words, last_error_at=iso(self._clock.now()))
        self._soon()

    def count(self, *, circuits: int, config_version: int) -> None:
        """Note how many circuits are open, and which configuration is in force."""
        self.now = replace(self.now, circuits=circuits, config_version=config_version)
        self._soon()

    def write(self) -> None:
        """Write the file now. A full disk must not stop the agent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            write_private(self._path, json.dumps(asdict(self.now), indent=1).encode())
        except OSError as error:
            log.warning("status not written", reason=str(error))

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self.write)


def read(path: Path) -> Snapshot | None:
    """The file's content; None when there is none or it can't be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Snapshot(**found)
    except (OSError, ValueError, TypeError):
        return None


def describe(snapshot: Snapshot | None, *, running: bool) -> list[str]:
    """Lines for a person at the machine."""
    if snapshot is None:
        return ["The agent is running." if running else "The agent is not running, and never was."]
    state = STATES.get(snapshot.state, snapshot.state) if running else "not running"
    lines = [f"State:          {state}" + (f" since {snapshot.since}" if running else "")]
    lines.append(f"Device:         {snapshot.account}/{snapshot.device}")
    lines.append(f"Access server:  {snapshot.access}")
    if running:
        lines.append(f"Relay:          {snapshot.relay or 'none'}")
        lines.append(f"Circuits:       {snapshot.circuits}")
        lines.append(f"Configuration:  version {snapshot.config_version}")
    if snapshot.last_error:
        lines.append(f"Last error:     {snapshot.last_error} ({snapshot.last_error_at})")
    return lines
