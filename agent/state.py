"""The agent's state folder: identity, what it was enrolled as, the owner's policy, keys and configuration.

Everything is written whole or not at all, and readable by its owner only.
"""

import fcntl
import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.policy import LEVELS, WIDEST, OwnerPolicy, parse_networks
from panelgate.errors import BadInput, Broken, Unavailable
from panelgate.pki import Identity, write_private

DEFAULT_DIRECTORY = Path("/var/lib/panelgate-agent")
MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the access server made of this agent."""

    access: str
    device_id: str
    account: str
    device: str
    name: str
    serial: str
    lan: tuple[str, ...] = ()  # as the owner declared it; empty: what this machine is connected to


class State:
    """The files of one agent."""

    def __init__(self, directory: Path = DEFAULT_DIRECTORY) -> None:
        self.directory = directory
        self.status_file = directory / "status.json"

    # Enrolment and identity

    def enrolled(self) -> bool:
        """Whether an enrolment was finished here."""
        return (self.directory / "agent.json").exists()

    def enrolment(self) -> Enrolment:
        """What this agent was enrolled as; BadInput("not_enrolled") before that."""
        if not self.enrolled():
            raise BadInput(
                "not_enrolled",
                f"There is no enrolled agent in {self.directory}. In the portal open the device, make an activation "
                "key, and run here: panelgate agent enrol --key KEY --access ADDRESS",
                {"directory": str(self.directory)},
            )
        found = self._read("agent.json")
        try:
            return Enrolment(**{**found, "lan": tuple(found.get("lan", ()))})
        except TypeError as error:
            raise _damaged(self.directory / "agent.json") from error

    def save_enrolment(self, enrolment: Enrolment) -> None:
        """Store the enrolment: the last file written, so that a half-done one does not count."""
        self._write("agent.json", asdict(enrolment))

    def identity(self) -> Identity:
        """Key and certificate. Broken when they can't be read."""
        directory, fresh = self.directory / "identity", self.directory / "identity.new"
        if not directory.exists() and fresh.exists():
            # A power cut between the two renames of save_identity: the new one is whole.
            fresh.rename(directory)
        return Identity.load(directory)

    def save_identity(self, identity: Identity) -> Identity:
        """Store key and certificate together, replacing the previous pair; the identity as loaded from there."""
        directory, fresh, old = (self.directory / name for name in ("identity", "identity.new", "identity.old"))
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        identity.save(fresh)
        if directory.exists():
            directory.rename(old)
        fresh.rename(directory)
        shutil.rmtree(old, ignore_errors=True)
        return Identity.load(directory)

    # The owner's policy

    def owner(self) -> OwnerPolicy:
        """The machine owner's own list; empty when he made none. Broken when the file is there and can't be read."""
        path = self.directory / "policy.json"
        if not path.exists():
            return OwnerPolicy()
        found = self._read("policy.json")
        try:
            only = found.get("deny_all_but")
            level = found.get("level", WIDEST)
            if level not in LEVELS:
                raise ValueError(f"{level!r} is no firewall level")
            allow = parse_networks(found.get("allow", []))
            return OwnerPolicy(allow, None if only is None else parse_networks(only), level)
        except (ValueError, TypeError) as error:
            # Never guess: a policy that can't be read must not become an empty one.
            raise _damaged(path) from error

    def save_owner(self, policy: OwnerPolicy) -> None:
        """Store the owner's policy; only the command line on this machine does this."""
        only = None if policy.only is None else [str(network) for network in policy.only]
        allow = [str(network) for network in policy.allow]
        self._write("policy.json", {"allow": allow, "deny_all_but": only, "level": policy.level})

    # What the access server signed

    def ticket_keys(self) -> dict[str, Any]:
        """The access server's public keys as last seen (a JWKS)."""
        return self._read("ticket-keys.json")

    def save_ticket_keys(self, jwks: dict[str, Any]) -> None:
        """Store the keys, if they differ: flash memory wears."""
        path = self.directory / "ticket-keys.json"
        if not path.exists() or self._read("ticket-keys.json") != jwks:
            self._write("ticket-keys.json", jwks)

    def configuration(self) -> str | None:
        """The signed configuration as last accepted."""
        try:
            return (self.directory / "config.jws").read_text(encoding="ascii")
        except (OSError, ValueError):
            return None

    def save_configuration(self, token: str) -> None:
        """Store an accepted configuration, so that the agent works while the access server is down."""
        if token != self.configuration():
            write_private(self.directory / "config.jws", token.encode())

    # One process at a time

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hold this folder; Unavailable("already_running") when another process does."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Unavailable(
                    "already_running",
                    f"An agent is already running with {self.directory}. Stop it first (systemctl stop "
                    "panelgate-agent), or name another folder with --state.",
                ) from error
            yield
        finally:
            os.close(descriptor)

    def is_running(self) -> bool:
        """Whether a process holds this folder now."""
        try:
            descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _read(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        if not isinstance(found, dict):
            raise _damaged(path)
        return found

    def _write(self, name: str, value: object) -> None:
        write_private(self.directory / name, json.dumps(value, indent=1).encode())


def machine_serial(directory: Path, machine_id: Path = MACHINE_ID) -> str:
    """A serial number for this machine: the same at every enrolment, and not the machine-id itself.

    Two agents on one machine have different state folders, and so different serials (machine-id(5) asks for
    a keyed hash instead of the id).
    """
    try:
        key = machine_id.read_bytes().strip()
    except OSError:
        key = b""
    salt = b"panelgate" if directory == DEFAULT_DIRECTORY else str(directory.resolve()).encode()
    if not key:
        raise BadInput("no_serial", "This machine has no /etc/machine-id. Give its serial number with --serial.")
    return hmac.new(key, salt, hashlib.sha256).hexdigest()[:20]


def _damaged(path: Path) -> Broken:
    return Broken(
        "state_damaged",
        f"The file {path} can't be read. Restore it from a backup, or enrol this agent again.",
        {"path": str(path)},
    )
