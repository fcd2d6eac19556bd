"""An agent becomes a device: by a one-time activation key, with the identity the server gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from access import activation, audit, authority, configuration, devices, relays, targets
from access.db import Store, Unit
from access.models.machines import ActivationKey, Certificate, Device
from access.models.people import Account
from panelgate import pki
from panelgate.errors import BadInput, PanelgateError, Refused, Unavailable
from panelgate.pki import Authority, Peer, Role

SERIAL_LENGTH: Final = 100
VERSION_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What an agent says of itself when it enrols; `address` is where the call came from."""

    csr: str
    serial: str
    version: str
    hostname: str
    lan: Sequence[str]
    address: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of it."""

    device: Device
    account: Account
    certificate: x509.Certificate


def enrol(store: Store, ca: Authority, key: str, newcomer: Newcomer) -> Enrolled:
    """Bind an agent to the device its activation key was made for. Refusals are audited.

    BadInput: bad_key (not a whole key), bad_csr, bad_serial. Refused: wrong_key, key_used, key_expired, serial_bound.
    """
    account_id: str | None = None
    try:
        stored = activation.stored_hash(activation.ACTIVATION, key)
        account_id = store.account_of(ActivationKey.hash, stored)
        if account_id is None:
            raise Refused("wrong_key", "This activation key is not known here. Make a new one on the device's page.")
        serial = _serial(newcomer.serial)
        owner = store.account_of(Device.serial, serial)
        with store.account(account_id, write=True) as unit:
            row = unit.find(ActivationKey, ActivationKey.hash == stored)
            device = _usable(unit, row)
            if owner is not None and owner != account_id:
                # Says nothing about who the other owner is.
                raise Refused(
                    "serial_bound", "This machine is bound to an account already. It must be released there first.",
                    {"serial": serial}, status=409,
                )  # fmt: skip
            return _bind(unit, ca, device, serial, newcomer)
    except Unavailable:
        raise  # nobody was refused: the database is not usable now
    except PanelgateError as error:
        _record_refusal(store, account_id, newcomer, error)
        raise


def _serial(text: str) -> str:
    serial = text.strip()
    if not 1 <= len(serial) <= SERIAL_LENGTH or not serial.isascii() or not serial.isprintable():
        raise BadInput("bad_serial", f"A serial number has 1 to {SERIAL_LENGTH} plain characters.", {})
    return serial


def _usable(unit: Unit, row: ActivationKey | None) -> Device:
    """The device of a key that may be used now."""
    if row is None:
        raise Refused("wrong_key", "This activation key is not known here. Make a new one on the device's page.")
    if row.used is not None:
        raise Refused("key_used", "This activation key was used already. Make a new one on the device's page.")
    if row.withdrawn is not None:
        raise Refused("key_withdrawn", "A newer activation key replaced this one. Use the newest.")
    if unit.now >= row.expires:
        raise Refused("key_expired", "This activation key has expired. Make a new one on the device's page.")
    row.used = unit.now
    return devices.need(unit, row.device_id)


def _bind(unit: Unit, ca: Authority, device: Device, serial: str, newcomer: Newcomer) -> Enrolled:
    account = unit.lock()
    facts: dict[str, Any] = {"serial": serial, "version": newcomer.version[:VERSION_LENGTH]}
    holder = unit.find(Device, Device.serial == serial)
    if holder is not None and holder.id != device.id:
        devices.unbind(unit, holder, "replaced")
        audit.append(
            unit, "device.release", device_id=holder.id, device=holder.slug, address=newcomer.address,
            facts={"serial": serial, "reason": "replaced", "by": device.slug},
        )  # fmt: skip
        facts["taken_from"] = holder.slug
    if device.serial is not None:
        facts["replaced"] = devices.unbind(unit, device, "replaced")
    certificate = authority.issue(unit, ca, newcomer.csr, Role.AGENT, device.id)
    _note_claim(unit, device, newcomer)
    devices.withdraw_keys(unit, device)
    device.serial = serial
    device.enrolled = unit.now
    device.fingerprint = pki.fingerprint(certificate)
    device.hostname = newcomer.hostname[:100]
    note_agent(device, newcomer.version, newcomer.lan)
    if not device.lan:
        device.lan = list(targets.usable_lan(newcomer.lan))
        facts["lan"] = device.lan
        configuration.changed(unit, device)
    relays.presence_of(unit, device)
    audit.append(unit, "device.enrol", device_id=device.id, device=device.slug, address=newcomer.address, facts=facts)
    unit.publish({"type": "access.changed", "account_id": device.account_id})
    return Enrolled(device, account, certificate)


def note_agent(device: Device, version: str, lan: Sequence[str]) -> None:
    """Keep what an agent says of itself at enrolment and at every connect; it decides nothing."""
    device.agent_version = version[:VERSION_LENGTH]
    device.agent_lan = [network[:64] for network in lan[: targets.MAX_NETWORKS]]


def _note_claim(unit: Unit, device: Device, newcomer: Newcomer) -> None:
    claimed = authority.claimed_subject(newcomer.csr)
    if claimed and claimed != f"{Role.AGENT}:{device.id}":
        audit.append(
            unit, "device.claim", result="refused", device_id=device.id, device=device.slug, address=newcomer.address,
            facts={"claimed": claimed, "given": f"{Role.AGENT}:{device.id}"},
        )  # fmt: skip


def _record_refusal(store: Store, account_id: str | None, newcomer: Newcomer, error: PanelgateError) -> None:
    facts = {"why": error.code, "serial": newcomer.serial[:SERIAL_LENGTH]}
    opened = store.operator(write=True) if account_id is None else store.account(account_id, write=True)
    with opened as unit:
        audit.append(unit, "device.enrol", result="refused", address=newcomer.address, facts=facts)


def device_of(unit: Unit, peer: Peer) -> Device:
    """The device an agent's certificate stands for. Refused(device_revoked), HTTP 403, when it is gone or unbound."""
    device = unit.find(Device, Device.id == peer.id, Device.deleted.is_(None))
    if device is None or device.serial is None:
        raise Refused("device_revoked", "This device was released or deleted. Enrol it again with a new key.")
    return device


def renew(unit: Unit, ca: Authority, peer: Peer, csr: str, address: str) -> x509.Certificate:
    """A new certificate for an agent that proved itself with the present one.

    The present one stays good until the agent connects with the new one: an answer lost on the way locks nobody out.
    """
    device = device_of(unit, peer)
    certificate = authority.issue(unit, ca, csr, Role.AGENT, device.id)
    _note_claim(unit, device, Newcomer(csr, device.serial or "", "", "", (), address))
    audit.append(
        unit, "device.renew", device_id=device.id, device=device.slug, address=address,
        facts={"until": certificate.not_valid_after_utc.strftime("%Y-%m-%d")},
    )  # fmt: skip
    return certificate


def settle(unit: Unit, device: Device, peer: Peer) -> None:
    """An agent shows which of its certificates it uses: older ones are revoked, web proxies expect this one."""
    shown = unit.find(Certificate, Certificate.fingerprint == peer.fingerprint)
    if shown is None or device.fingerprint == peer.fingerprint:
        return
    device.fingerprint = peer.fingerprint
    for row in unit.all(Certificate, Certificate.role == str(Role.AGENT), Certificate.subject_id == device.id):
        if row.issued < shown.issued and row.revoked_at is None:
            row.revoked_at, row.revoked_reason = unit.now, "renewed"
