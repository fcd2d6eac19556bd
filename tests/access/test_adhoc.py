"""Ad-hoc services: made of a link's address, by whom, how many, and gone again."""

from __future__ import annotations

import re

import pytest

from access import (
    adhoc,
    configuration,
    connections,
    devices,
    handoffs,
    levels,
    permissions,
    public_ports,
    resolve,
    services,
    summaries,
)
from access.kernel import Kernel
from access.models.machines import PublicPort, Service
from access.permissions import Rights
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, Refused
from panelgate.names import SLUG_LIMIT, slug_ok
from panelgate.ports import PortRange
from tests.access.test_circuits import WEBPROXY, authorise
from tests.access.test_connections import CLIENT
from tests.fakes.access_machines import NONCE_HASH, Plant
from tests.fakes.access_world import ACTOR, full_session


def at_level(plant: Plant, level: str) -> None:
    with plant.writing() as unit:
        devices.change(unit, ACTOR, devices.need(unit, plant.device_id), devices.Change(level=level))


def open_address(plant: Plant, host: str, port: int, session: str = "") -> Service:
    kernel = plant.kernel
    return adhoc.open_address(kernel.store, kernel.keyring, plant.who(session), plant.device_id, host, port)


def test_an_address_becomes_a_service_with_an_origin_of_its_own(plant: Plant) -> None:
    at_level(plant, "standard")
    heard = plant.heard()
    made = open_address(plant, "192.168.0.10", 8080)
    assert (made.kind, made.slug, made.name) == ("adhoc", "ip-192-168-0-10-8080", "192.168.0.10:8080")
    assert made.host_label == "ip-192-168-0-10-8080--press--acme"
    assert (made.protocol, made.tls_verify, made.visible) == ("http", "none", False)
    assert {"config.changed", "access.changed"} <= {event["type"] for event in heard}
    row = plant.audit("service.adhoc")[0]
    assert (row["user"], row["device"], row["service"]) == ("anna", "press", made.slug)
    assert row["facts"]["host"] == "192.168.0.10"
    assert open_address(plant, "192.168.0.10", 8080).id == made.id
    assert len(plant.audit("service.adhoc")) == 1


def test_the_agent_hears_of_it_with_its_kind(plant: Plant) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.10", 8443)
    with plant.reading() as unit:
        described = configuration.describe(unit, devices.need(unit, plant.device_id))
    kinds = {row["slug"]: row.get("kind", "lan") for row in described["services"]}
    assert kinds == {"hmi": "lan", "panel": "lan", made.slug: "adhoc"}
    assert described["level"] == "standard"


@pytest.mark.parametrize(
    ("port", "protocol"),
    [(80, "http"), (8080, "http"), (443, "https"), (8443, "https"), (5900, "vnc"), (5909, "vnc"), (5910, "http")],
)
def test_the_port_says_what_is_spoken(port: int, protocol: str) -> None:
    assert adhoc.protocol_of(port) == protocol


@pytest.mark.parametrize("port", [22, 25, 102, 502, 3389, 4840, 44818])
def test_ports_where_no_page_is_are_not_opened(plant: Plant, port: int) -> None:
    at_level(plant, "standard")
    with pytest.raises(Refused, match="nothing here"):
        open_address(plant, "192.168.0.10", port)


@pytest.mark.parametrize(
    ("host", "port", "slug"),
    [
        ("192.168.0.10", 8080, "ip-192-168-0-10-8080"),
        ("255.255.255.255", 65535, "ip-255-255-255-255-65535"),
        ("fd12:3456::1", 80, "ip6-fd12-3456-0-0-0-0-0-1-80"),
        ("fd12:3456:789a:bcde:f012:3456:789a:bcde", 65535, "ip6-DIGEST-65535"),
    ],
)
def test_names_are_readable_and_fit(host: str, port: int, slug: str) -> None:
    found = adhoc.slug_of(host, port)
    assert slug_ok(found)
    assert re.sub(r"ip6-[0-9a-f]{12}-", "ip6-DIGEST-", found) == slug
    assert len(found) <= SLUG_LIMIT


def test_a_name_that_is_taken_gets_a_letter(plant: Plant) -> None:
    at_level(plant, "standard")
    plant.add_service("ip-192-168-0-10-8080", host="192.168.0.77")
    assert open_address(plant, "192.168.0.10", 8080).slug == "ip-192-168-0-10-8080-b"


@pytest.mark.parametrize(
    ("level", "whole", "allowed"), [("operate", True, True), ("manage", True, True), ("watch", True, False)]
)
def test_who_may_operate_all_of_the_device(plant: Plant, level: str, whole: bool, allowed: bool) -> None:
    at_level(plant, "standard")
    _, session = plant.member("olga", level, device=whole)
    if allowed:
        assert open_address(plant, "192.168.0.10", 8080, session).slug
    else:
        with pytest.raises(Refused):
            open_address(plant, "192.168.0.10", 8080, session)


def test_who_may_operate_one_service_opens_no_other_port(plant: Plant) -> None:
    at_level(plant, "standard")
    user_id, session = plant.member("olga", None)
    plant.grant(user_id, "operate", service_id=plant.hmi.id)
    with pytest.raises(Refused) as caught:
        open_address(plant, "192.168.0.10", 8080, session)
    assert caught.value.code == "not_found"
    made = open_address(plant, "192.168.0.10", 8080)
    with plant.writing() as unit, pytest.raises(Refused):
        handoffs.create(unit, plant.who(session), made.host_label, NONCE_HASH)


@pytest.mark.parametrize("level", ["enforced", "ultra"])
def test_nothing_is_made_where_the_level_forbids_it(plant: Plant, level: str) -> None:
    at_level(plant, level)
    with pytest.raises(Refused) as caught:
        open_address(plant, "192.168.0.10", 8080)
    assert (caught.value.code, plant.audit("service.adhoc")) == ("not_found", [])


def test_it_opens_for_operators_and_is_listed_for_managers_alone(plant: Plant) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.10", 8080)
    _, operator = plant.member("olga", "operate")
    _, watcher = plant.member("willi", "watch")
    assert plant.look(plant.open(made, operator), made).permission == "operate"
    with plant.writing() as unit, pytest.raises(Refused):
        handoffs.create(unit, plant.who(watcher), made.host_label, NONCE_HASH)
    for session, shown in ((operator, False), ("", True)):
        who = plant.who(session)
        with plant.reading() as unit:
            rights = permissions.rights_of(unit, who.user_id, who.role)
            detail = summaries.device_detail(unit, rights, devices.need(unit, plant.device_id))
        assert (made.slug in {row["slug"] for row in detail["services"]}) is shown
        assert set(detail["adhoc_used"]) == ({made.id} if shown else set())


def test_no_link_goes_around_what_was_listed(plant: Plant) -> None:
    """A hidden panel stays hidden, and a pinned one pinned, for those who may open any other address."""
    at_level(plant, "standard")
    _, operator = plant.member("olga", "operate")
    plant.add_service("hidden", host="192.168.0.20", protocol="https", tls_verify="pin", visible=False)
    with pytest.raises(Refused) as caught:
        open_address(plant, "192.168.0.20", 443, operator)
    assert (caught.value.code, plant.audit("service.adhoc")) == ("not_found", [])
    who = plant.who(operator)
    link = resolve.Link("acme", "press", ip="192.168.0.20", port=443)
    with pytest.raises(Refused):
        resolve.resolve(plant.kernel.store, who, link, plant.kernel.refusals)
    assert open_address(plant, "192.168.0.20", 8443, operator).kind == "adhoc"


def test_what_is_listed_later_takes_the_place_of_what_a_link_made(plant: Plant) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.20", 443)
    plant.add_service("hidden", host="192.168.0.20", protocol="https", tls_verify="pin", visible=False)
    with plant.reading() as unit:
        assert unit.get(Service, made.id) is None
    assert plant.audit("service.adhoc_end")[-1]["facts"]["reason"] == "listed"


def test_what_a_link_made_leaves_no_companion_and_no_port_behind(plant: Plant, clock: FakeClock) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.10", 8080)
    with plant.writing() as unit:
        device, row = services.need(unit, made.id)
        public_ports.give(unit, PortRange(20000, 20009), row)
        services.change(
            unit, plant.kernel.keyring, ACTOR, device, unit.need(Service, plant.hmi.id),
            {"options": {"companions": [made.slug]}},
        )  # fmt: skip
    at_level(plant, "enforced")
    assert plant.service("hmi").options == {}
    assert plant.audit("service.adhoc_end")[-1]["facts"]["no_companion_of"] == ["hmi"]
    with plant.kernel.store.operator() as unit:
        assert [row.freed for row in unit.all(PublicPort)] == [clock.now()]


def test_a_device_has_room_for_so_many_and_the_longest_unused_makes_way(plant: Plant, clock: FakeClock) -> None:
    at_level(plant, "standard")
    first = open_address(plant, "192.168.0.10", 9101)
    second = open_address(plant, "192.168.0.10", 9102)
    for port in range(9103, 9101 + adhoc.LIMIT):
        open_address(plant, "192.168.0.10", port)
    with pytest.raises(Refused) as caught:
        open_address(plant, "192.168.0.10", 9999)
    assert (caught.value.code, caught.value.status) == ("too_many_addresses", 429)
    clock.advance(adhoc.FRESH_SECONDS)
    plant.open(first)  # in use again
    open_address(plant, "192.168.0.10", 9999)
    with plant.reading() as unit:
        assert unit.get(Service, first.id) is not None
        assert unit.get(Service, second.id) is None
        assert unit.count(Service, Service.kind == "adhoc") == adhoc.LIMIT
    assert plant.audit("service.adhoc_end")[-1]["facts"]["reason"] == "replaced"


def test_listed_services_and_those_of_links_don_t_take_each_others_room(plant: Plant) -> None:
    at_level(plant, "standard")
    for number in range(services.SERVICES_LIMIT - 2):
        plant.add_service(f"s{number}", port=1000 + number)
    made = open_address(plant, "192.168.0.10", 8080)
    with plant.writing() as unit, pytest.raises(BadInput) as caught:
        adhoc.keep(unit, ACTOR, *services.need(unit, made.id))
    assert caught.value.code == "too_many_services"


def test_keep_makes_a_listed_service_of_it(plant: Plant) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.99", 8080)
    with plant.writing() as unit:
        device, row = services.need(unit, made.id)
        adhoc.keep(unit, ACTOR, device, row)
        with pytest.raises(BadInput, match="listed already"):
            adhoc.keep(unit, ACTOR, device, row)
    at_level(plant, "enforced")
    assert plant.service(made.slug).kind == levels.LISTED
    assert plant.audit("service.keep")[0]["service"] == made.slug


def test_it_is_kept_before_it_is_changed(plant: Plant) -> None:
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.10", 8080)
    with plant.writing() as unit:
        device, row = services.need(unit, made.id)
        with pytest.raises(BadInput) as caught:
            services.change(unit, plant.kernel.keyring, ACTOR, device, row, {"host": "192.168.0.11"})
    assert caught.value.code == "not_listed"


def test_unused_for_a_week_it_goes(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    at_level(plant, "standard")
    open_address(plant, "192.168.0.10", 8080)
    used = open_address(plant, "192.168.0.10", 8081)
    clock.advance(adhoc.UNUSED_SECONDS - 60)
    plant.session = full_session(plant.kernel, plant.account_id, plant.admin_id)
    plant.open(used)
    assert adhoc.sweep(plant.kernel.store) == 0
    before = plant.device().config_version
    clock.advance(120)
    assert adhoc.sweep(plant.kernel.store) == 1
    with plant.reading() as unit:
        assert [row.port for row in unit.all(Service, Service.kind == "adhoc")] == [8081]
    assert plant.device().config_version == before + 1
    assert plant.audit("service.adhoc_end")[-1]["facts"] == {
        "reason": "unused", "host": "192.168.0.10", "port": 8080
    }  # fmt: skip


def test_an_open_connection_counts_as_use(plant: Plant, clock: FakeClock) -> None:
    plant.online()
    at_level(plant, "standard")
    made = open_address(plant, "192.168.0.10", 8080)
    plant.keep_alive("relay-1")
    token = plant.open(made)
    connections.begin(
        plant.kernel.store, plant.kernel.limits, WEBPROXY, token=token, host_label=made.host_label,
        circuit_id=authorise(plant, made, token).circuit_id, client=CLIENT,
    )  # fmt: skip
    clock.advance(3600)
    with plant.reading() as unit:
        assert adhoc.last_used(unit, [made]) == {made.id: unit.now}
        assert adhoc.last_used(unit, []) == {}


def test_on_both_databases(both_kernel: Kernel, clock: FakeClock) -> None:
    plant = Plant(both_kernel)
    at_level(plant, "high")
    made = open_address(plant, "192.168.0.10", 8080)
    with plant.reading() as unit:
        assert adhoc.last_used(unit, [made])[made.id] == made.created
    clock.advance(adhoc.UNUSED_SECONDS + 1)
    assert adhoc.sweep(both_kernel.store) == 1


def test_whole_rights_are_asked_of_the_table(plant: Plant) -> None:
    assert adhoc.may_open(Rights(devices={plant.device_id: permissions.Level.OPERATE}), plant.device())
    assert not adhoc.may_open(Rights(services={plant.hmi.id: permissions.Level.OPERATE}), plant.device())
