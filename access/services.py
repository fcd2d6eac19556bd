"""Services: what a device offers on its LAN, checked when it is written down, not when it is dialled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from access import configuration, devices, levels, public_ports, service_options, targets
from access.db import Unit, not_found
from access.keyring import Keyring
from access.models.machines import Device, Service
from access.models.people import Account, Grant
from access.permissions import Rights
from access.users import Actor
from panelgate.errors import BadInput
from panelgate.log import Secret
from panelgate.names import host_label
from panelgate.options import ServiceOptions

SERVICES_LIMIT: Final = 64  # of one device; the configuration must stay small enough for a metered line
RESERVED_SLUG: Final = "proxy"  # deep links have it where a service's slug would stand
PASSWORD_LENGTH: Final = 128  # characters; VNC uses eight of them, RDP up to 127
WEB: Final = service_options.WEB


@dataclass(frozen=True, slots=True)
class Fields:
    """What makes a service. None for `port` and `tls_verify` is the protocol's default.

    `password`: None leaves the stored one, an empty one clears it. `options` are whole: what is missing in them is
    its default.
    """

    slug: str
    name: str
    host: str
    protocol: str
    port: int | None = None
    path: str = "/"
    visible: bool = False
    password: Secret | None = None
    tls_verify: str | None = None
    tls_pin: str | None = None
    options: dict[str, Any] | ServiceOptions = field(default_factory=dict)


def need(unit: Unit, service_id: str) -> tuple[Device, Service]:
    """A service of the unit's account and its device; the neutral not_found otherwise."""
    service = unit.get(Service, service_id)
    if service is None:
        raise not_found()
    return devices.need(unit, service.device_id), service


def permission(rights: Rights, device: Device, service: Service) -> str | None:
    """What a user may do with a service: "operate", "watch", or None.

    A service that is not marked visible exists only for those who manage the device. An ad-hoc one opens for everybody
    who operates the whole device (see `access.adhoc`), and the agent's own pages, under level ultra, for managers.
    """
    if service.kind == levels.ADHOC:
        opens = device.level in levels.OPEN and rights.may("service.operate", device.id)
        return "operate" if opens else None
    if service.kind == levels.OWN and device.level == levels.ULTRA and not rights.may("service.change", device.id):
        return None
    if not service.visible and not rights.may("service.change", device.id, service.id):
        return None
    if rights.may("service.operate", device.id, service.id):
        return "operate"
    return "watch" if rights.may("service.watch", device.id, service.id) else None


def listed(rights: Rights, device: Device, service: Service) -> bool:
    """Whether lists show a service to a user: those he may use, and ad-hoc ones to managers alone."""
    shown = service.kind != levels.ADHOC or rights.may("service.change", device.id)
    return shown and permission(rights, device, service) is not None


def check_room(unit: Unit, device: Device) -> None:
    """BadInput(too_many_services) when the device has as many services as it may; ad-hoc ones have their own limit."""
    if unit.count(Service, Service.device_id == device.id, Service.kind != levels.ADHOC) >= SERVICES_LIMIT:
        raise BadInput(
            "too_many_services", f"A device has at most {SERVICES_LIMIT} services.", {"limit": SERVICES_LIMIT}
        )


def _context(service_id: str) -> str:
    return f"service:{service_id}"


def password(keyring: Keyring, service: Service) -> Secret | None:
    """The panel's stored password. Only the answer to /circuits may carry it."""
    if service.sealed_password is None:
        return None
    return Secret(keyring.open(service.sealed_password, _context(service.id)))


def credentials(keyring: Keyring, service: Service) -> tuple[str, Secret] | None:
    """(user, password) with which the web proxy signs in at a web service; None where nobody chose that.

    As with `password`: only the answer to /circuits may carry them.
    """
    options = ServiceOptions.of(service.options)
    if service.protocol not in WEB or options.auth == "none":
        return None
    return options.user, password(keyring, service) or Secret("")


def _apply(unit: Unit, service: Service, device: Device, fields: Fields) -> None:
    service.protocol = targets.check_protocol(fields.protocol)
    service.name = devices.plain_text(fields.name, devices.NAME_LENGTH, "name") or service.slug
    service.host = targets.check_host(fields.host, device.lan)
    service.port = targets.check_port(fields.port, service.protocol)
    service.path = targets.check_path(fields.path)
    service.visible = fields.visible
    service.tls_verify, service.tls_pin = targets.check_tls(service.protocol, fields.tls_verify, fields.tls_pin)
    service.options = service_options.check(unit, service, fields.options)


def _store_password(keyring: Keyring, service: Service, secret: Secret | None) -> str | None:
    if secret is None:
        return None
    text = secret.reveal()
    if len(text) > PASSWORD_LENGTH:
        raise BadInput("bad_password", f"A panel's password has at most {PASSWORD_LENGTH} characters.", {})
    if not text:
        had, service.sealed_password = service.sealed_password, None
        return "cleared" if had else None
    service.sealed_password = keyring.seal(text, _context(service.id))
    return "set"


def create(
    unit: Unit, keyring: Keyring, actor: Actor, device: Device, fields: Fields, *, kind: str = levels.LISTED
) -> Service:
    """A new service of a device; `kind` "adhoc" for one made of an address in a link.

    BadInput: bad_slug, slug_taken, label_taken, too_many_services, and what `access.targets` and
    `access.service_options` raise.
    """
    account = unit.lock()
    slug = devices.new_slug(fields.slug, fields.name)
    if slug == RESERVED_SLUG:
        raise BadInput("bad_slug", f"“{slug}” is a word of deep links. Choose another short name.", {"slug": slug})
    if unit.find(Service, Service.device_id == device.id, Service.slug == slug) is not None:
        raise BadInput("slug_taken", "This device has a service of that short name.", {"slug": slug}, status=409)
    if kind != levels.ADHOC:
        check_room(unit, device)
    service = Service(
        account_id=unit.account, device_id=device.id, slug=slug, kind=kind, created=unit.now,
        host_label=_label(unit, account, device, slug),
    )  # fmt: skip
    _apply(unit, service, device, fields)
    unit.add(service)
    _store_password(keyring, service, fields.password)
    action = "service.adhoc" if kind == levels.ADHOC else "service.create"
    devices.record(unit, actor, action, device, describe(service), service.slug)
    configuration.changed(unit, device)
    return service


def _label(unit: Unit, account: Account, device: Device, slug: str) -> str:
    label = host_label(slug, device.slug, account.slug)
    # Hashed labels could meet; with 96 bits of hashes they will not, but a name must never lead to two machines.
    if unit.find(Service, Service.host_label == label) is not None:
        raise BadInput("label_taken", "Choose another short name: this one's address is taken.", {"label": label})
    return label


def fields_of(service: Service) -> Fields:
    """The present fields of a service, to change some of them with `dataclasses.replace`."""
    return Fields(
        slug=service.slug, name=service.name, host=service.host, protocol=service.protocol, port=service.port,
        path=service.path, visible=service.visible, tls_verify=service.tls_verify, tls_pin=service.tls_pin,
        options=ServiceOptions.of(service.options),
    )  # fmt: skip


def leads_elsewhere(service: Service, new: dict[str, Any]) -> bool:
    """Whether a change would reach more of the device's network than this one service.

    Who was granted a single service would otherwise make a door to every other of it.
    """
    known = ServiceOptions.of(service.options).companions
    wanted = (new.get("options") or {}).get("companions")
    called = isinstance(wanted, list) and any(slug not in known for slug in wanted)
    return called or any(name in new and new[name] != getattr(service, name) for name in ("host", "port", "protocol"))


def change(
    unit: Unit, keyring: Keyring, actor: Actor, device: Device, service: Service, new: dict[str, Any]
) -> Service:
    """Change the fields in `new` (names of `Fields`). The slug is for life: it is the service's address.

    With another host the stored password is forgotten unless `new` brings one.

    BadInput: slug_fixed, not_listed (an ad-hoc one), and what `access.targets` and `access.service_options` raise.
    """
    if service.kind == levels.ADHOC:
        raise BadInput("not_listed", "Keep this panel first: then it can be changed.", {}, status=409)
    if new.get("slug", service.slug) != service.slug:
        raise BadInput("slug_fixed", "The short name is the service's address and stays. Make a new service.", {})
    if "protocol" in new and new["protocol"] != service.protocol:
        # What was right for the other protocol is not carried over silently.
        new = {"tls_verify": None, "tls_pin": None, "port": None} | new
        if (new["protocol"] in WEB) != (service.protocol in WEB):
            new = {"options": {}, "password": Secret("")} | new
    before, options = describe(service), dict(service.options)
    _apply(unit, service, device, replace(fields_of(service), **new))
    if before["host"] != service.host and new.get("password") is None:
        # A password is for the panel it was typed for: sent to another address it would be read there by whoever
        # changed it, and nobody may read it.
        new = new | {"password": Secret("")}
    lost = service_options.forget_companion(unit, service) if service.protocol not in WEB else []
    word = _store_password(keyring, service, new.get("password"))
    facts: dict[str, Any] = {
        key: [before[key], value]
        for key, value in describe(service).items()
        if key != "options" and before[key] != value
    }
    if lost:
        facts["no_companion_of"] = lost
    changed = service_options.changes(options, service.options)
    if changed:
        facts["options"] = changed
    if word:
        facts["password"] = word
    if facts:
        devices.record(unit, actor, "service.change", device, facts, service.slug)
        configuration.changed(unit, device)
    return service


def delete(unit: Unit, actor: Actor, device: Device, service: Service) -> None:
    """Remove a service: sign-ins at its origin end with it."""
    lost = service_options.forget_companion(unit, service)
    facts = describe(service) | ({"no_companion_of": lost} if lost else {})
    devices.record(unit, actor, "service.delete", device, facts, service.slug)
    for grant in unit.all(Grant, Grant.service_id == service.id):
        unit.delete(grant)
    public_ports.release(unit, service)
    unit.delete(service)
    configuration.changed(unit, device)


def describe(service: Service) -> dict[str, Any]:
    """What the audit keeps of a service; no password, and of its options those that are not at their default."""
    return {
        "name": service.name, "host": service.host, "port": service.port, "protocol": service.protocol,
        "path": service.path, "visible": service.visible, "tls_verify": service.tls_verify, "tls_pin": service.tls_pin,
        "options": service_options.told(service.options),
    }  # fmt: skip
