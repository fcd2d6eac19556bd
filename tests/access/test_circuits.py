"""Circuits: who gets a ticket, what it says, and what is cut."""

from __future__ import annotations

from typing import Any

import pytest

from access import circuits, services
from access.circuits import Authorised
from access.models.machines import Circuit, Service
from panelgate.clock import FakeClock, iso
from panelgate.errors import BadInput, Refused, Unavailable
from panelgate.log import Secret
from panelgate.pki import Peer, Role
from tests.fakes.access_machines import PANEL_PASSWORD, Plant
from tests.fakes.access_world import ACTOR

WEBPROXY = Peer(Role.WEBPROXY, "w" * 32, "f" * 64)


def authorise(plant: Plant, service: Service, token: str = "", purpose: str = "http", session: str = "") -> Authorised:
    kernel = plant.kernel
    token = token or plant.open(service, session)
    return circuits.authorise(
        kernel.store, kernel.limits, kernel.keyring, WEBPROXY,
        token=token, host_label=service.host_label, purpose=purpose,
    )  # fmt: skip


def offline(plant: Plant) -> dict[str, Any]:
    with pytest.raises(Unavailable) as caught:
        authorise(plant, plant.hmi)
    assert (caught.value.code, caught.value.status) == ("device_offline", 409)
    return caught.value.facts


def test_a_ticket_names_exactly_what_is_allowed(plant: Plant, clock: FakeClock) -> None:
    relay = plant.online()
    second = plant.add_service("second")
    made = authorise(plant, plant.hmi)
    ticket = plant.verifier().circuit(made.ticket, clock.now())
    assert (ticket.circuit_id, ticket.account_id, ticket.user_id) == (made.circuit_id, plant.account_id, plant.admin_id)
    assert (ticket.session_id, ticket.device_id) == (plant.who().session_id, plant.device_id)
    assert (ticket.webproxy_id, ticket.webproxy_fingerprint, ticket.relay_id) == (
        WEBPROXY.id,
        WEBPROXY.fingerprint,
        relay,
    )
    assert set(ticket.services) == {plant.hmi.id, second.id}  # the web services, not the panel
    assert ticket.read_only is False
    assert ticket.expires == int(clock.now()) + 120
    assert (made.relay.id, made.device.fingerprint) == (relay, plant.device().fingerprint)
    assert made.password is None


def test_a_viewers_ticket_is_for_its_service_and_comes_with_the_password(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    made = authorise(plant, plant.panel, purpose="viewer")
    assert plant.verifier().circuit(made.ticket, clock.now()).services == (plant.panel.id,)
    assert made.password == Secret(PANEL_PASSWORD)
    assert PANEL_PASSWORD not in str(made)


def test_sign_ins_come_for_the_services_on_the_ticket_and_no_others(plant: Plant) -> None:
    plant.online()
    own = {"auth": "basic", "user": "op"}
    mine = plant.add_service("mine", options=own, password=Secret("mine-pw"))
    plant.add_service("hidden", visible=False, options=own, password=Secret("hidden-pw"))
    plant.add_service("other", options={"auth": "digest", "user": "x"}, password=Secret("other-pw"))
    plant.add_service("unused", password=Secret("unused-pw"))  # nobody chose to send it
    everything = authorise(plant, plant.hmi).sign_ins  # an administrator's: also of what is hidden
    assert {secret.reveal() for _, secret in everything.values()} == {"mine-pw", "hidden-pw", "other-pw"}
    user_id, session = plant.member(level=None)
    plant.grant(user_id, "operate", service_id=mine.id)
    made = authorise(plant, mine, session=session)
    assert made.sign_ins == {mine.id: ("op", Secret("mine-pw"))}
    assert "mine-pw" not in str(made)
    _, seen = plant.member("wim", "operate")
    assert {secret.reveal() for _, secret in authorise(plant, mine, session=seen).sign_ins.values()} == {
        "mine-pw", "other-pw",
    }  # fmt: skip
    assert authorise(plant, plant.panel, purpose="viewer").sign_ins == {}


def look(plant: Plant, service: Service, session: str = "") -> Authorised:
    return circuits.authorise_look(plant.kernel.store, plant.kernel.keyring, WEBPROXY, plant.who(session), service.id)


def test_who_may_change_a_service_may_look_at_its_certificate(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    tls = plant.add_service("tls", protocol="https", options={"auth": "basic", "user": "op"}, password=Secret("pw"))
    made = look(plant, tls)
    ticket = plant.verifier().circuit(made.ticket, clock.now())
    assert (ticket.services, ticket.read_only, ticket.user_id) == ((tls.id,), True, plant.admin_id)
    assert (made.password, dict(made.sign_ins)) == (None, {})
    with pytest.raises(BadInput):
        look(plant, plant.hmi)
    _, operator = plant.member("olga", "operate")
    _, stranger = plant.member("nina", None)
    for session, status in ((operator, 403), (stranger, 404), (Plant(plant.kernel, "rival").session, 404)):
        with pytest.raises(Refused) as caught:
            look(plant, tls, session)
        assert caught.value.status == status


def test_who_may_only_watch_gets_a_read_only_ticket(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    _, session = plant.member(level="watch")
    made = authorise(plant, plant.panel, purpose="viewer", session=session)
    assert plant.verifier().circuit(made.ticket, clock.now()).read_only is True


def test_a_grant_for_one_service_gives_a_ticket_for_that_one(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    plant.add_service("second")
    user_id, session = plant.member(level=None)
    plant.grant(user_id, "operate", service_id=plant.hmi.id)
    made = authorise(plant, plant.hmi, session=session)
    assert plant.verifier().circuit(made.ticket, clock.now()).services == (plant.hmi.id,)


def test_an_offline_device_says_since_when_and_from_where(plant: Plant, clock: FakeClock) -> None:
    assert offline(plant) == {"device": "Press 4", "since": None, "last_address": None}
    relay = plant.online()
    clock.advance(60)
    plant.keep_alive(relay)
    plant.note(relay, 1, up=False)
    assert offline(plant) == {"device": "Press 4", "since": iso(clock.now()), "last_address": "198.51.100.4"}


def test_a_device_of_a_dead_relay_is_offline_before_the_sweep(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    last = clock.now()
    clock.advance(15)
    assert offline(plant)["since"] == iso(last)


def test_purpose_and_protocol_belong_together(plant: Plant) -> None:
    plant.online()
    for service, purpose in ((plant.hmi, "viewer"), (plant.panel, "http"), (plant.hmi, "other")):
        with pytest.raises(BadInput) as caught:
            authorise(plant, service, purpose=purpose)
        assert caught.value.code == "wrong_purpose"


def test_without_a_session_there_is_no_ticket(plant: Plant) -> None:
    plant.online()
    token = plant.open(plant.hmi)
    plant.end_session()
    with pytest.raises(Refused) as caught:
        authorise(plant, plant.hmi, token)
    assert caught.value.code == "no_session"
    with plant.reading() as unit:
        assert unit.count(Circuit) == 0


def test_the_circuits_of_a_session_are_cut_once(plant: Plant) -> None:
    plant.online()
    made = authorise(plant, plant.hmi)
    heard = plant.heard()
    for count in (1, 0):
        with plant.writing() as unit:
            assert circuits.cut_session(unit, plant.who().session_id, "session_ended") == count
    assert heard == [{"type": "circuit.cut", "circuit_id": made.circuit_id, "reason": "session_ended"}]


def test_what_would_not_be_allowed_any_more_is_cut_and_nothing_else(plant: Plant) -> None:
    plant.online()
    user_id, session = plant.member()
    authorise(plant, plant.hmi)
    mine = authorise(plant, plant.panel, purpose="viewer", session=session)
    heard = plant.heard()
    with plant.writing() as unit:
        assert circuits.cut_forbidden(unit) == 0
    plant.revoke_grants(user_id)
    plant.grant(user_id, "watch")
    with plant.writing() as unit:
        assert circuits.cut_forbidden(unit) == 1
    assert [event["circuit_id"] for event in heard] == [mine.circuit_id]


def test_a_deleted_service_does_not_cut_the_others(plant: Plant) -> None:
    plant.online()
    second = plant.add_service("second")
    authorise(plant, plant.hmi)
    with plant.writing() as unit:
        device, service = services.need(unit, second.id)
        services.delete(unit, ACTOR, device, service)
        assert circuits.cut_forbidden(unit) == 0


def test_old_circuits_are_dropped(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    authorise(plant, plant.hmi)
    assert circuits.sweep(plant.kernel.store) == 0
    clock.advance(86401)
    assert circuits.sweep(plant.kernel.store) == 1


def test_a_relay_that_missed_a_cut_hears_it_again(plant: Plant, clock: FakeClock) -> None:
    relay = plant.online()
    store = plant.kernel.store
    _, session = plant.member()
    kept = authorise(plant, plant.hmi).circuit_id
    cut = authorise(plant, plant.hmi, session=session).circuit_id
    assert circuits.to_cut(store, relay, []) == []
    assert circuits.to_cut(store, relay, [kept, cut]) == []
    with plant.writing() as unit:
        row = unit.need(Circuit, cut)
        assert circuits.cut_session(unit, row.session_id, "session_ended") == 1
    assert circuits.to_cut(store, relay, [kept, cut, "never"]) == [cut, "never"]
    assert circuits.to_cut(store, "another relay", [kept]) == [kept]
    plant.end_session()  # and nobody was there to cut its circuits
    assert circuits.to_cut(store, relay, [kept]) == [kept]


def test_a_circuit_older_than_any_session_is_cut(plant: Plant, clock: FakeClock) -> None:
    relay = plant.online()
    made = authorise(plant, plant.hmi).circuit_id
    clock.advance(circuits.KEEP_SECONDS)
    assert circuits.to_cut(plant.kernel.store, relay, [made]) == [made]
