"""What a running access server consists of, made once and handed to everything that answers a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from access.authority import is_revoked as certificate_is_revoked
from access.db import Store
from access.events import Hub
from access.keyring import Keyring
from access.passwords import Hasher
from access.sessions import Limits
from access.throttle import ADDRESSES_PER_MINUTE, REFUSALS_PER_MINUTE, SIGN_INS_PER_MINUTE, Throttle
from panelgate.assertion import SeenOnce
from panelgate.clock import Clock
from panelgate.pki import Authority, Peer
from panelgate.ports import PortRange
from panelgate.settings import AccessSettings

DATABASE_FILE = "panelgate.sqlite"
KEY_FILE = "master.key"
AUTHORITY_FOLDER = "ca"
IDENTITY_FOLDER = "identity"
SETUP_FILE = "setup-code"


@dataclass(slots=True)
class Kernel:
    """The parts of the server. `is_revoked` answers for the certificate a caller showed.

    `throttle` counts people's attempts to sign in, by the address that the web proxy reports; `addresses` the ad-hoc
    services that a user makes, `refusals` the rows of what a user was refused.
    """

    settings: AccessSettings
    clock: Clock
    hub: Hub
    store: Store
    keyring: Keyring
    hasher: Hasher
    authority: Authority
    limits: Limits = field(default_factory=Limits)
    seen: SeenOnce = field(default_factory=SeenOnce)
    throttle: Throttle = field(default_factory=lambda: Throttle(SIGN_INS_PER_MINUTE))
    addresses: Throttle = field(default_factory=lambda: Throttle(ADDRESSES_PER_MINUTE))
    refusals: Throttle = field(default_factory=lambda: Throttle(REFUSALS_PER_MINUTE))
    is_revoked: Callable[[Store, Peer], bool] = field(default=certificate_is_revoked)

    @property
    def service_ports(self) -> PortRange | None:
        """The ports that services get as their origins; None where they have names."""
        return self.settings.service_ports

    @property
    def data(self) -> Path:
        """The folder of the server's files."""
        return self.settings.data


def database_address(settings: AccessSettings) -> str:
    """The database's address: the setting, or the SQLite file in the data folder."""
    return settings.database or str(settings.data / DATABASE_FILE)


def open_kernel(settings: AccessSettings, clock: Clock | None = None, hasher: Hasher | None = None) -> Kernel:
    """The server's parts from its data folder; Broken names what is missing (see `panelgate access init`)."""
    clock = clock or Clock()
    hub = Hub()
    return Kernel(
        settings=settings,
        clock=clock,
        hub=hub,
        store=Store(database_address(settings), clock, hub.publish),
        keyring=Keyring.load(settings.data / KEY_FILE),
        hasher=hasher or Hasher(),
        authority=Authority.load(settings.data / AUTHORITY_FOLDER),
    )
