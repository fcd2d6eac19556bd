"""Circuits: whether a web proxy may open one, with which ticket, and cutting those whose permission is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from access import permissions, relays, service_sessions, services, signing
from access.db import Store, Unit
from access.keyring import Keyring
from access.models.base import new_id
from access.models.machines import Circuit, Device, Presence, Relay, Service
from access.models.people import User, UserSession
from access.service_sessions import Held
from access.sessions import Limits, Who
from panelgate.clock import iso
from panelgate.errors import BadInput, Unavailable
from panelgate.log import Secret
from panelgate.pki import Peer
from panelgate.tickets import CIRCUIT_SECONDS, CircuitTicket

PURPOSES: Final = {"http": ("http", "https"), "viewer": ("vnc", "rdp")}
KEEP_SECONDS: Final = 24 * 3600.0  # no session lives longer, so no circuit of interest is older


@dataclass(frozen=True, slots=True)
class Authorised:
    """A circuit that may be opened. `password` is for the web proxy's handshake with the panel.

    `sign_ins` are (user, password) by service id, for web services at which the web proxy signs in for the user.
    """

    circuit_id: str
    ticket: str
    relay: Relay
    device: Device
    password: Secret | None
    sign_ins: Mapping[str, tuple[str, Secret]] = field(default_factory=dict)


def authorise(
    store: Store, limits: Limits, keyring: Keyring, peer: Peer, *, token: str, host_label: str, purpose: str
) -> Authorised:
    """A ticket for a circuit to the device behind a service session, for the web proxy `peer`.

    An http circuit is shared by all web services of the device that the user may open, a viewer's is for its one
    service. Refused(no_session), BadInput(wrong_purpose), Unavailable(device_offline) with `since` and `last_address`.
    """
    held = service_sessions.look_up(store, limits, token, host_label, active=True)
    if held.service.protocol not in PURPOSES.get(purpose, ()):
        raise BadInput("wrong_purpose", "This service is not opened that way.", {"protocol": held.service.protocol})
    for_whom = _For(held.user.id, held.row.session_id, purpose)
    with store.account(held.account.id, write=True) as unit:
        named, read_only = _services(unit, held, purpose)
        made = _make(unit, keyring, peer, held.device, for_whom, [row.id for row in named], read_only=read_only)
    if purpose == "viewer":
        return replace(made, password=services.password(keyring, held.service))
    found = {row.id: services.credentials(keyring, row) for row in named}
    return replace(made, sign_ins={key: known for key, known in found.items() if known is not None})


def authorise_look(store: Store, keyring: Keyring, peer: Peer, who: Who, service_id: str) -> Authorised:
    """A ticket for one look at a service's certificate by who may change the service.

    Refused(not_allowed, not_found), BadInput(wrong_purpose) for what has none, Unavailable(device_offline).
    """
    with store.account(who.account_id, write=True) as unit:
        device, service = services.need(unit, service_id)
        rights = permissions.rights_of(unit, who.user_id, who.role)
        rights.require("service.change", device.id, service.id)
        if service.protocol != "https":
            raise BadInput("wrong_purpose", "This service has no certificate.", {"protocol": service.protocol})
        for_whom = _For(who.user_id, who.session_id, "look")
        return _make(unit, keyring, peer, device, for_whom, [service.id], read_only=True)


@dataclass(frozen=True, slots=True)
class _For:
    user_id: str
    session_id: str
    purpose: str


def _make(
    unit: Unit, keyring: Keyring, peer: Peer, device: Device, whom: _For, named: Sequence[str], *, read_only: bool
) -> Authorised:
    presence = unit.find(Presence, Presence.device_id == device.id)
    relay = _relay_of(unit, device, presence)
    ticket = CircuitTicket(
        circuit_id=new_id(), account_id=unit.account, user_id=whom.user_id, session_id=whom.session_id,
        device_id=device.id, services=tuple(named), read_only=read_only, webproxy_id=peer.id,
        webproxy_fingerprint=peer.fingerprint, relay_id=relay.id, expires=unit.now + CIRCUIT_SECONDS,
    )  # fmt: skip
    signed = signing.signer(unit, keyring).circuit(ticket, unit.now)
    unit.add(
        Circuit(
            id=ticket.circuit_id, account_id=unit.account, session_id=whom.session_id, user_id=whom.user_id,
            device_id=device.id, services=list(named), purpose=whom.purpose, read_only=read_only, relay_id=relay.id,
            webproxy_id=peer.id, created=unit.now,
        )
    )  # fmt: skip
    return Authorised(ticket.circuit_id, signed, relay, device, None)


def _relay_of(unit: Unit, device: Device, presence: Presence | None) -> Relay:
    """The relay that holds the device's control connection; Unavailable(device_offline) when none does."""
    relay = unit.get(Relay, presence.up_relay_id) if presence and presence.online and presence.up_relay_id else None
    if relay is not None and device.fingerprint is not None and relays.is_live(relay, unit.now):
        return relay
    since = presence.since if presence else None
    if presence and presence.online and relay is not None:
        since = relay.last_report  # the sweeper has not noted yet that the relay is gone
    facts = {
        "device": device.name,
        "since": iso(since) if since is not None else None,
        "last_address": (presence.address or None) if presence else None,
    }
    raise Unavailable(
        "device_offline", f"{device.name} is offline. Check its power and its internet connection.", facts, status=409
    )


def _services(unit: Unit, held: Held, purpose: str) -> tuple[tuple[Service, ...], bool]:
    """(the services a ticket names, whether all of it is read-only)."""
    if purpose == "viewer":
        return (held.service,), held.permission != "operate"
    rights = permissions.rights_of(unit, held.user.id, held.user.role)
    rows = unit.all(
        Service, Service.device_id == held.device.id, Service.protocol.in_(PURPOSES["http"]), order=Service.slug
    )
    words = {row.id: services.permission(rights, held.device, row) for row in rows}
    return tuple(row for row in rows if words[row.id]), "operate" not in words.values()


def cut_session(unit: Unit, session_id: str, reason: str) -> int:
    """Cut all circuits of a portal session; how many."""
    return _cut(unit, unit.all(Circuit, Circuit.session_id == session_id, Circuit.cut.is_(None)), reason)


def cut_forbidden(unit: Unit) -> int:
    """Cut the circuits of the unit's account that would not be authorised any more; how many.

    A circuit with one service too many is cut as a whole: the web proxy opens a narrower one at once.
    """
    gone = []
    rights: dict[str, permissions.Rights | None] = {}
    for row in unit.all(Circuit, Circuit.cut.is_(None), Circuit.created > unit.now - KEEP_SECONDS):
        if row.user_id not in rights:
            user = unit.get(User, row.user_id)
            usable = user is not None and not user.disabled
            rights[row.user_id] = permissions.rights_of(unit, user.id, user.role) if user and usable else None
        if not _still_allowed(unit, row, rights[row.user_id]):
            gone.append(row)
    return _cut(unit, gone, "access_changed")


def _still_allowed(unit: Unit, row: Circuit, rights: permissions.Rights | None) -> bool:
    device = unit.find(Device, Device.id == row.device_id, Device.deleted.is_(None))
    if rights is None or device is None:
        return False
    # A deleted service needs no cut: the agent's own list no longer has it.
    left = unit.all(Service, Service.id.in_(row.services))
    words = [services.permission(rights, device, service) for service in left]
    return bool(words) and all(words) and (row.read_only or "operate" in words)


def to_cut(store: Store, relay_id: str, open_ids: Sequence[str]) -> list[str]:
    """Of the circuits that a relay has open, those that it must cut: it may not have heard so when it was said.

    Cut already, of a session that has ended, too old, or never given out for this relay.
    """
    if not open_ids:
        return []
    with store.operator() as unit:
        rows = unit.all(
            Circuit, Circuit.id.in_(open_ids), Circuit.relay_id == relay_id, Circuit.cut.is_(None),
            Circuit.created > unit.now - KEEP_SECONDS,
        )  # fmt: skip
        wanted = {row.session_id for row in rows}
        alive = {row.id for row in unit.all(UserSession, UserSession.id.in_(wanted), UserSession.ended.is_(None))}
    good = {row.id for row in rows if row.session_id in alive}
    return [ident for ident in open_ids if ident not in good]


def _cut(unit: Unit, rows: Sequence[Circuit], reason: str) -> int:
    for row in rows:
        row.cut = unit.now
        unit.publish({"type": "circuit.cut", "circuit_id": row.id, "reason": reason})
    return len(rows)


def sweep(store: Store) -> int:
    """Drop circuits too old to matter; how many."""
    with store.operator(write=True) as unit:
        old = unit.all(Circuit, Circuit.created < unit.now - KEEP_SECONDS, limit=1000)
        for row in old:
            unit.delete(row)
    return len(old)
