"""A plant for tests of the access server: an account with a machine, its services, its agent, and a relay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from access import devices, enrolment, handoffs, presence, relays, service_sessions, services, sessions, signing
from access.db import Unit
from access.kernel import Kernel
from access.models.machines import Device, Presence, Service
from access.models.people import Grant
from access.presence import Seen
from access.sessions import Who
from panelgate.log import Secret
from panelgate.pki import Identity, Role, make_csr, make_key
from panelgate.tickets import Verifier
from tests.fakes.access_world import ACTOR, full_session, make_account, make_identity, make_user

LAN = "192.168.0.0/24"
NONCE_HASH = hashlib.sha256(b"nonce").hexdigest()
PANEL_PASSWORD = "panel-secret-8"


class Plant:
    """See the module. Everything happens through the modules under test, as the API would do it."""

    def __init__(self, kernel: Kernel, slug: str = "acme") -> None:
        self.kernel = kernel
        self.slug = slug
        self.account_id, self.admin_id = make_account(kernel, slug)
        self.session = full_session(kernel, self.account_id, self.admin_id)
        with kernel.store.operator(write=True) as unit:
            signing.ensure(unit, kernel.keyring)
        with self.writing() as unit:
            device = devices.create(unit, ACTOR, slug="press", name="Press 4", site="Hall 2", lan=[LAN])
            hmi = services.Fields("hmi", "HMI", "192.168.0.10", "http", visible=True)
            panel = services.Fields(
                "panel", "Panel", "192.168.0.11", "vnc", visible=True, password=Secret(PANEL_PASSWORD)
            )
            self.device_id = device.id
            self.hmi = services.create(unit, kernel.keyring, ACTOR, device, hmi)
            self.panel = services.create(unit, kernel.keyring, ACTOR, device, panel)
        self.counter = 0

    @contextmanager
    def writing(self) -> Iterator[Unit]:
        with self.kernel.store.account(self.account_id, write=True) as unit:
            yield unit

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        with self.kernel.store.account(self.account_id) as unit:
            yield unit

    def device(self) -> Device:
        with self.reading() as unit:
            return unit.need(Device, self.device_id)

    def presence(self) -> Presence:
        with self.reading() as unit:
            row = unit.find(Presence, Presence.device_id == self.device_id)
        assert row is not None
        return row

    def service(self, slug: str) -> Service:
        with self.reading() as unit:
            row = unit.find(Service, Service.slug == slug, Service.device_id == self.device_id)
        assert row is not None
        return row

    def add_service(self, slug: str, **fields: Any) -> Service:
        given: dict[str, Any] = {"name": slug, "host": "192.168.0.20", "protocol": "http", "visible": True} | fields
        with self.writing() as unit:
            device = devices.need(unit, self.device_id)
            return services.create(unit, self.kernel.keyring, ACTOR, device, services.Fields(slug=slug, **given))

    def key(self) -> str:
        with self.writing() as unit:
            device = devices.need(unit, self.device_id)
            return devices.new_activation_key(unit, ACTOR, device, self.kernel.authority.certificate)[0]

    def enrol(self, serial: str = "SN-1", key: str = "", csr: str = "") -> Identity:
        """Enrol an agent; its identity."""
        private = make_key()
        newcomer = enrolment.Newcomer(csr or make_csr(private), serial, "0.1.0", "box", [LAN], "198.51.100.4")
        made = enrolment.enrol(self.kernel.store, self.kernel.authority, key or self.key(), newcomer)
        return Identity(Role.AGENT, made.device.id, private, made.certificate, self.kernel.authority.certificate)

    def relay(self, ident: str, url: str = "") -> Identity:
        """A relay that has joined and registered."""
        identity = make_identity(self.kernel, Role.RELAY, ident)
        with self.kernel.store.operator(write=True) as unit:
            relays.register(unit, ident, url or f"wss://{ident}.example.com", "0.1.0")
        return identity

    def connect(self) -> tuple[str, int]:
        """What an agent is told when it connects: (relay id, counter)."""
        with self.writing() as unit:
            row = relays.presence_of(unit, devices.need(unit, self.device_id))
            relay = relays.assign(unit, row)
            return relay.id, row.counter

    def note(self, relay_id: str, counter: int, *, up: bool = True, address: str = "198.51.100.4") -> bool:
        return presence.note(self.kernel.store, relay_id, Seen(self.device_id, counter, address), up=up)

    def online(self) -> str:
        """Enrol, connect and be reported: the relay's id."""
        self.relay("relay-1")
        self.enrol()
        relay_id, counter = self.connect()
        assert self.note(relay_id, counter)
        return relay_id

    def keep_alive(self, relay_id: str) -> None:
        """The relay reports now."""
        with self.kernel.store.operator(write=True) as unit:
            relays.report(unit, relay_id, circuits=0, devices=1, transferred=0)

    def member(self, name: str = "tom", level: str | None = "operate", device: bool = True) -> tuple[str, str]:
        """A user with a level for the device (or for all): (id, session token)."""
        user_id = make_user(self.kernel, self.account_id, name)
        if level is not None:
            self.grant(user_id, level, device=device)
        return user_id, full_session(self.kernel, self.account_id, user_id)

    def grant(self, user_id: str, level: str, *, device: bool = True, service_id: str | None = None) -> None:
        with self.writing() as unit:
            scope = self.device_id if device else None
            unit.add(
                Grant(account_id=self.account_id, user_id=user_id, device_id=scope, service_id=service_id, level=level)
            )

    def revoke_grants(self, user_id: str) -> None:
        with self.writing() as unit:
            for grant in unit.all(Grant, Grant.user_id == user_id):
                unit.delete(grant)

    def who(self, session: str = "") -> Who:
        return sessions.check(self.kernel.store, self.kernel.limits, session or self.session)

    def end_session(self, session: str = "") -> None:
        who = self.who(session)
        with self.writing() as unit:
            row = sessions.valid(unit, self.kernel.limits, who.session_id)
            assert row is not None
            sessions.end(unit, row, "signed_out")

    def code(self, service: Service, session: str = "") -> str:
        with self.writing() as unit:
            return handoffs.create(unit, self.who(session), service.host_label, NONCE_HASH)

    def open(self, service: Service, session: str = "") -> str:
        """Go through the hand-off: the token of a session at the service."""
        store, limits = self.kernel.store, self.kernel.limits
        return handoffs.redeem(store, limits, self.code(service, session), service.host_label, NONCE_HASH)[0]

    def look(self, token: str, service: Service, *, active: bool = True) -> service_sessions.Held:
        store, limits = self.kernel.store, self.kernel.limits
        return service_sessions.look_up(store, limits, token, service.host_label, active=active)

    def verifier(self) -> Verifier:
        with self.kernel.store.operator() as unit:
            return Verifier(signing.jwks(unit))

    def audit(self, action: str) -> list[dict[str, Any]]:
        """The account's audit rows of an action, oldest first."""
        from access import audit

        with self.reading() as unit:
            rows, _ = audit.page(unit, action=action)
            return [audit.as_json(row) for row in reversed(rows)]

    def heard(self) -> list[dict[str, Any]]:
        """A list that fills with the events published from now on."""
        events: list[dict[str, Any]] = []
        self.kernel.hub.listen(events.append)
        return events
