"""Devices as their account keeps them: entry, change, removal, activation keys, release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from access import activation, audit, authority, configuration, levels, presence, public_ports, targets
from access.db import Unit, not_found
from access.models.machines import ActivationKey, Device, Service
from access.models.people import Grant
from access.users import Actor
from panelgate.errors import BadInput
from panelgate.names import slug_ok, slugify
from panelgate.pki import Role

KEY_SECONDS: Final = 7 * 86400.0  # the time between the office and the site
NAME_LENGTH: Final = 100
DESCRIPTION_LENGTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What to change of a device; None leaves as it is."""

    name: str | None = None
    site: str | None = None
    description: str | None = None
    lan: Sequence[str] | None = None
    level: str | None = None


def need(unit: Unit, device_id: str) -> Device:
    """The device with this id in the unit's account; the neutral not_found otherwise."""
    device = unit.find(Device, Device.id == device_id, Device.deleted.is_(None))
    if device is None:
        raise not_found()
    return device


def by_slug(unit: Unit, slug: str) -> Device:
    """The device of this slug in the unit's account; the neutral not_found otherwise."""
    device = unit.find(Device, Device.slug == slug, Device.deleted.is_(None))
    if device is None:
        raise not_found()
    return device


def plain_text(text: str, limit: int, what: str) -> str:
    """A text for people, spaces tidied; BadInput(bad_name) when it is too long or has control characters."""
    tidy = " ".join(text.split())
    if len(tidy) > limit or not all(character.isprintable() for character in tidy):
        raise BadInput("bad_name", f"The {what} has at most {limit} printable characters.", {"field": what})
    return tidy


def new_slug(slug: str, name: str) -> str:
    """The slug to use: the one given, or one made of the name. BadInput(bad_slug)."""
    slug = slug or slugify(name)
    if not slug_ok(slug):
        raise BadInput(
            "bad_slug",
            "The short name has lower-case letters, digits and single hyphens, at most 32.",
            {"slug": slug[:64]},
        )
    return slug


def create(
    unit: Unit, actor: Actor, *, slug: str, name: str, site: str = "", description: str = "",
    lan: Sequence[str] = (), loopback: bool = False,
) -> Device:  # fmt: skip
    """A new device entry, before any agent. BadInput: bad_slug, slug_taken, bad_name, bad_lan."""
    unit.lock()
    slug = new_slug(slug, name)
    if unit.find(Device, Device.slug == slug) is not None:
        raise BadInput(
            "slug_taken",
            "A device has, or had, this short name. Choose another: addresses are never given to a second machine.",
            {"slug": slug}, status=409,
        )  # fmt: skip
    device = unit.add(
        Device(
            account_id=unit.account, slug=slug, name=plain_text(name, NAME_LENGTH, "name") or slug,
            site=plain_text(site, NAME_LENGTH, "site"), lan=list(targets.parse_lan(lan, loopback=loopback)),
            description=_description(description), created=unit.now, level=levels.ENFORCED,
            config_version=1, agent_lan=[],
        )
    )  # fmt: skip
    record(unit, actor, "device.create", device, {"name": device.name, "lan": device.lan})
    unit.publish({"type": "access.changed", "account_id": device.account_id})
    return device


def _description(text: str) -> str:
    if len(text) > DESCRIPTION_LENGTH or not all(c.isprintable() or c == "\n" for c in text.replace("\r\n", "\n")):
        raise BadInput("bad_description", f"The description has at most {DESCRIPTION_LENGTH} characters.", {})
    return text.replace("\r\n", "\n").strip()


def change(unit: Unit, actor: Actor, device: Device, new: Change, *, loopback: bool = False) -> Device:
    """Change what people see of a device, its LAN, its firewall level.

    BadInput: bad_name, bad_lan, lan_in_use, bad_firewall_level.
    """
    facts: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    if new.name is not None:
        wanted["name"] = plain_text(new.name, NAME_LENGTH, "name") or device.slug
    if new.site is not None:
        wanted["site"] = plain_text(new.site, NAME_LENGTH, "site")
    if new.description is not None:
        wanted["description"] = _description(new.description)
    if new.lan is not None:
        wanted["lan"] = list(targets.parse_lan(new.lan, loopback=loopback or _has_loopback(device)))
        _keep_services(unit, device, wanted["lan"])
    if new.level is not None:
        wanted["level"] = levels.check(new.level)
    for field, value in wanted.items():
        if getattr(device, field) != value:
            facts[field] = [getattr(device, field), value]
            setattr(device, field, value)
    if not facts:
        return device
    record(unit, actor, "device.change", device, facts)
    if "lan" in facts or "level" in facts:
        configuration.changed(unit, device)
    else:
        unit.publish({"type": "access.changed", "account_id": device.account_id})
    return device


def _has_loopback(device: Device) -> bool:
    # The demonstration machine must stay editable where new loopback devices are not allowed.
    return any(network.startswith("127.") for network in device.lan)


def _keep_services(unit: Unit, device: Device, lan: Sequence[str]) -> None:
    outside = []
    for service in unit.all(Service, Service.device_id == device.id, Service.kind == levels.LISTED):
        try:
            targets.check_host(service.host, lan)
        except BadInput:
            outside.append(service.name)
    if outside:
        raise BadInput(
            "lan_in_use",
            "Some services would lie outside this LAN. Change or delete them first: " + ", ".join(outside),
            {"services": outside},
        )


def delete(unit: Unit, actor: Actor, device: Device) -> None:
    """Remove a device: its agent is cut off, its services go, its address is never given again."""
    unbind(unit, device, "deleted")
    for service in unit.all(Service, Service.device_id == device.id):
        public_ports.release(unit, service)
        unit.delete(service)
    for grant in unit.all(Grant, Grant.device_id == device.id):
        unit.delete(grant)
    device.deleted = unit.now
    record(unit, actor, "device.delete", device, {"name": device.name})
    unit.publish({"type": "access.changed", "account_id": device.account_id})


def new_activation_key(unit: Unit, actor: Actor, device: Device, ca: x509.Certificate) -> tuple[str, float]:
    """A key with which an agent becomes this device: (the text to show once, expiry in unix seconds).

    Keys made earlier and not used are withdrawn: one device, one key in circulation.
    """
    withdraw_keys(unit, device)
    text, stored = activation.make(activation.ACTIVATION, ca)
    expires = unit.now + KEY_SECONDS
    unit.add(
        ActivationKey(account_id=unit.account, device_id=device.id, hash=stored, created=unit.now, expires=expires)
    )
    record(unit, actor, "device.activation_key", device, {"days": round(KEY_SECONDS / 86400)})
    return text, expires


def withdraw_keys(unit: Unit, device: Device) -> None:
    """Make all unused activation keys of a device worthless."""
    unused = (ActivationKey.device_id == device.id, ActivationKey.used.is_(None), ActivationKey.withdrawn.is_(None))
    for row in unit.all(ActivationKey, *unused):
        row.withdrawn = unit.now


def unbind(unit: Unit, device: Device, reason: str) -> str | None:
    """Cut the present agent off: certificate revoked, tunnel cut, serial free; the serial it had.

    `reason` is a short word for the audit and the relay: released, replaced, deleted.
    """
    serial, device.serial, device.fingerprint, device.enrolled = device.serial, None, None, None
    withdraw_keys(unit, device)
    authority.revoke(unit, Role.AGENT, device.id, reason)
    presence.take_offline(unit, device, reason)
    unit.session.flush()  # the serial must be free before somebody else takes it in the same transaction
    unit.publish({"type": "device.cut", "device_id": device.id, "reason": "revoked"})
    return serial


def release(unit: Unit, actor: Actor, device: Device) -> None:
    """Unbind the agent, so that its serial may enrol elsewhere. BadInput(not_enrolled) when there is none."""
    if device.serial is None:
        raise BadInput("not_enrolled", "No agent is bound to this device.", {"device": device.slug}, status=409)
    serial = unbind(unit, device, "released")
    record(unit, actor, "device.release", device, {"serial": serial, "reason": "released"})
    unit.publish({"type": "access.changed", "account_id": device.account_id})


def record(
    unit: Unit, actor: Actor, action: str, device: Device, facts: dict[str, Any], service: str | None = None
) -> None:
    """Audit what somebody did to a device or one of its services."""
    audit.append(
        unit, action, user_id=actor.user_id, user=actor.user, device_id=device.id, device=device.slug, service=service,
        address=actor.address, facts=facts,
    )  # fmt: skip
