"""Who may do what: one table of actions and the level each needs. What isn't listed is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from access.db import Unit, not_found
from access.models.people import Grant
from panelgate.errors import BadInput, Broken, Refused


class Level(IntEnum):
    """What a user may do with a device or service; each level includes those before it."""

    SEE = 1
    WATCH = 2
    OPERATE = 3
    MANAGE = 4
    ADMINISTER = 5  # never granted by a row: it is the role administrator, and implies all in the account


GRANTABLE: dict[str, Level] = {
    "see": Level.SEE,
    "watch": Level.WATCH,
    "operate": Level.OPERATE,
    "manage": Level.MANAGE,
}

# Every action there is.
ACTIONS: dict[str, Level] = {
    "device.see": Level.SEE,
    "service.watch": Level.WATCH,
    "service.operate": Level.OPERATE,
    "device.change": Level.MANAGE,
    "device.activation_key": Level.MANAGE,
    "device.release": Level.MANAGE,
    "service.create": Level.MANAGE,
    "service.change": Level.MANAGE,
    "service.delete": Level.MANAGE,
    "device.create": Level.ADMINISTER,
    "device.delete": Level.ADMINISTER,
    "users.read": Level.ADMINISTER,
    "users.change": Level.ADMINISTER,
    "grants.change": Level.ADMINISTER,
    "account.change": Level.ADMINISTER,
    "audit.read": Level.ADMINISTER,
}


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do in his account: levels for everything, by device id, by service id.

    `of_device` names the granted services of each device.
    """

    administrator: bool = False
    everything: Level | None = None
    devices: Mapping[str, Level] = field(default_factory=dict)
    services: Mapping[str, Level] = field(default_factory=dict)
    of_device: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def level(self, device_id: str | None = None, service_id: str | None = None) -> Level | None:
        """The level for a service (give both ids), a device, or the account (none); None: may not even see it."""
        if self.administrator:
            return Level.ADMINISTER
        levels = [self.everything, self.devices.get(device_id or ""), self.services.get(service_id or "")]
        if device_id is not None and service_id is None and self.of_device.get(device_id):
            levels.append(Level.SEE)  # who may use one service sees the device it is on, and no more of it
        return max((level for level in levels if level is not None), default=None)

    def only_services(self, device_id: str) -> frozenset[str] | None:
        """The services that are all he was granted there; None when he was granted the device (or everything)."""
        whole = self.administrator or self.everything is not None or device_id in self.devices
        return None if whole else self.of_device.get(device_id, frozenset())

    def may(self, action: str, device_id: str | None = None, service_id: str | None = None) -> bool:
        """Whether the action is allowed there."""
        needed = ACTIONS.get(action)
        if needed is None:
            raise Broken("unknown_action", "an action that is not in the table", {"action": action})
        level = self.level(device_id, service_id)
        return level is not None and level >= needed

    def require(self, action: str, device_id: str | None = None, service_id: str | None = None) -> None:
        """Refused unless allowed: `not_found` for a device he may not see, `not_allowed` for more than he may do."""
        if self.may(action, device_id, service_id):
            return
        if device_id is not None and self.level(device_id, service_id) is None:
            raise not_found()
        raise Refused(
            "not_allowed", "You may not do this. Ask an administrator of your account.", {"action": action}, status=403
        )

    def words(self, device_id: str, service_id: str | None = None) -> list[str]:
        """The names of the levels he has there, lowest first, as the API's `may` lists them."""
        level = self.level(device_id, service_id)
        return [name for name, value in GRANTABLE.items() if level is not None and level >= value]


def rights_of(unit: Unit, user_id: str, role: str) -> Rights:
    """The rights of a user of the unit's account."""
    if role == "administrator":
        return Rights(administrator=True)
    everything: Level | None = None
    devices: dict[str, Level] = {}
    services: dict[str, Level] = {}
    of_device: dict[str, frozenset[str]] = {}
    for grant in unit.all(Grant, Grant.user_id == user_id):
        level = GRANTABLE[grant.level]
        if grant.device_id is None:
            everything = max(everything or level, level)
        elif grant.service_id is None:
            devices[grant.device_id] = max(devices.get(grant.device_id, level), level)
        else:
            services[grant.service_id] = max(services.get(grant.service_id, level), level)
            of_device[grant.device_id] = of_device.get(grant.device_id, frozenset()) | {grant.service_id}
    return Rights(False, everything, devices, services, of_device)


def parse_level(text: str) -> Level:
    """A level that can be granted, from its name; BadInput for any other word."""
    if text not in GRANTABLE:
        raise BadInput("bad_level", "A permission is one of: " + ", ".join(GRANTABLE), {"level": text[:20]})
    return GRANTABLE[text]
