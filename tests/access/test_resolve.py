"""Deep links: three forms, and one neutral answer for everything else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from access import devices, resolve
from access.models.machines import Service
from access.resolve import Link
from panelgate.errors import Refused
from tests.access.test_adhoc import at_level
from tests.fakes.access_machines import PANEL_PASSWORD, Plant
from tests.fakes.access_world import ACTOR


def find(plant: Plant, session: str = "", **parts: Any) -> dict[str, Any]:
    link = Link(**({"account": "acme", "device": "press"} | parts))
    return resolve.resolve(plant.kernel.store, plant.who(session), link, plant.kernel.refusals)


def lost(plant: Plant, session: str = "", **parts: Any) -> tuple[str, int, str]:
    with pytest.raises(Refused) as caught:
        find(plant, session, **parts)
    return caught.value.code, caught.value.status, caught.value.message


def test_the_three_forms(plant: Plant) -> None:
    assert find(plant)["service"] is None
    assert find(plant)["host_label"] is None
    assert find(plant)["device"]["name"] == "Press 4"
    assert find(plant, service="hmi")["host_label"] == "hmi--press--acme"
    assert find(plant, ip="192.168.0.10")["service"]["slug"] == "hmi"
    assert find(plant, ip="192.168.0.11", port=5900)["service"]["slug"] == "panel"
    assert PANEL_PASSWORD not in str(find(plant, service="panel"))


def test_unknown_foreign_and_forbidden_answer_alike(plant: Plant) -> None:
    Plant(plant.kernel, "rival")
    _, stranger = plant.member("nina", level=None)
    plant.add_service("hidden", visible=False)
    _, operator = plant.member("olga")
    answers = {
        lost(plant, device="nothing"),
        lost(plant, account="rival"),
        lost(plant, account="rival", service="hmi"),
        lost(plant, account="nobody"),
        lost(plant, service="nothing"),
        lost(plant, stranger),
        lost(plant, stranger, service="hmi"),
        lost(plant, operator, service="hidden"),
        lost(plant, operator, ip="192.168.0.99"),
        lost(plant, stranger, device="Press 4"),
    }
    assert len(answers) == 1
    assert answers.pop()[:2] == ("not_found", 404)


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "3232235530",
        "0xc0a8000a",
        "0300.0250.0.012",
        "localhost",
        "::ffff:192.168.0.10",
    ],
)
def test_addresses_that_lead_elsewhere_are_denied_and_audited(plant: Plant, ip: str) -> None:
    assert lost(plant, ip=ip)[0] == "not_found"
    row = plant.audit("refused")[-1]
    assert row["facts"] == {"what": "link", "account": "acme", "device": "press", "ip": ip}


def test_unknown_and_foreign_do_the_same_work(plant: Plant) -> None:
    """The same statements in the same order: what differs cannot be measured from outside."""
    Plant(plant.kernel, "rival")
    done: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        done.append(statement)

    event.listen(plant.kernel.store.engine, "before_cursor_execute", note)
    work = []
    for parts in (
        {"account": "rival"},
        {"account": "nobody"},
        {"device": "nothing"},
        {"device": "Nothing at all"},
        {"service": "nothing"},
        {"service": None, "ip": "169.254.169.254"},
    ):
        who = plant.who()
        link = Link(**({"account": "acme", "device": "press", "service": "hmi"} | parts))
        done.clear()
        with pytest.raises(Refused):
            resolve.resolve(plant.kernel.store, who, link, plant.kernel.refusals)
        work.append(tuple(done))
    assert len(work[0]) > 4
    assert len(set(work)) == 1


def test_a_stranger_is_told_nothing_by_the_work(plant: Plant) -> None:
    """Device, name and address that exist cost a user without rights the same statements as those that don't."""
    at_level(plant, "standard")
    _, stranger = plant.member("nina", level=None)
    done: list[str] = []
    event.listen(
        plant.kernel.store.engine, "before_cursor_execute", lambda _c, _u, statement, *_: done.append(statement)
    )
    work = set()
    for parts in (
        {"device": "press"},
        {"device": "nothing"},
        {"device": "press 4"},
        {"device": "press 5"},
        {"ip": "192.168.0.10"},
        {"ip": "192.168.0.10", "port": 8080},
        {"ip": "192.168.0.99"},
        {"ip": "8.8.8.8"},
    ):
        who = plant.who(stranger)
        done.clear()
        link = Link(**({"account": "acme", "device": "press"} | parts))
        with pytest.raises(Refused):
            resolve.resolve(plant.kernel.store, who, link, plant.kernel.refusals)
        work.add(tuple(done))
    assert len(work) == 1


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("Press 4", ()),
        ("PRESS 4", ()),
        ("press  4", ()),
        ("Press+4", ("Press 4",)),
        ("PRESS", ()),
    ],
)
def test_a_device_is_found_by_its_name(plant: Plant, device: str, names: tuple[str, ...]) -> None:
    assert find(plant, device=device, names=names, service="hmi")["host_label"] == "hmi--press--acme"
    assert find(plant, account="Acme", device=device, names=names)["device"]["slug"] == "press"


def named(plant: Plant, slug: str, name: str) -> str:
    with plant.writing() as unit:
        return devices.create(unit, ACTOR, slug=slug, name=name, lan=["10.0.0.0/24"]).id


def test_names_in_any_alphabet_and_none_by_a_wildcard(plant: Plant) -> None:
    named(plant, "saw", "Säge 100% Nr_1 C++")
    assert find(plant, device="SÄGE 100% nr_1 c++")["device"]["slug"] == "saw"
    assert find(plant, device="x", names=("säge 100% NR_1 C++",))["device"]["slug"] == "saw"
    for wrong in ("Säge 100% NrX1 C++", "S%", "%", "_", "Säge", "Säge 100%% Nr_1 C++", "\\"):
        assert lost(plant, device=wrong)[0] == "not_found"


def test_two_of_one_name_are_none_but_for_who_sees_just_one(plant: Plant) -> None:
    other = named(plant, "second", "Press 4")
    assert lost(plant, device="Press 4")[0] == "not_found"
    assert find(plant, device="second")["device"]["slug"] == "second"
    user_id, operator = plant.member("olga")
    assert find(plant, operator, device="Press 4")["device"]["slug"] == "press"
    with plant.writing() as unit:
        devices.delete(unit, ACTOR, devices.need(unit, other))
    assert find(plant, device="Press 4")["device"]["slug"] == "press"
    assert user_id


def test_the_short_name_of_a_hidden_machine_does_not_shadow_a_name(plant: Plant) -> None:
    named(plant, "press-4", "Another")
    _, operator = plant.member("olga")
    assert find(plant, device="press-4")["device"]["name"] == "Another"
    assert lost(plant, operator, device="press-4")[0] == "not_found"


def offer(plant: Plant, session: str = "", **parts: Any) -> Any:
    return find(plant, session, **parts).get("offer")


def test_an_address_nobody_listed_is_offered_where_the_level_allows_it(plant: Plant) -> None:
    _, operator = plant.member("olga")
    at_level(plant, "standard")
    assert offer(plant, operator, ip="192.168.0.99", port=8443) == {
        "ip": "192.168.0.99", "port": 8443, "protocol": "https"
    }  # fmt: skip
    assert find(plant, operator, ip="192.168.0.99")["host_label"] is None
    at_level(plant, "high")
    assert offer(plant, operator, ip="192.168.0.10", port=8080)["protocol"] == "http"
    assert lost(plant, operator, ip="192.168.0.99")[0] == "not_found"
    at_level(plant, "enforced")
    assert lost(plant, operator, ip="192.168.0.10", port=8080)[0] == "not_found"
    with plant.reading() as unit:
        assert unit.count(Service) == 2


def test_taking_the_offer_makes_the_service_and_the_next_link_finds_it(plant: Plant) -> None:
    at_level(plant, "standard")
    kernel, who = plant.kernel, plant.who()
    found = find(plant, ip="192.168.0.99", port=8080)
    made = resolve.take(kernel.store, kernel.keyring, who, found)
    assert made["host_label"] == "ip-192-168-0-99-8080--press--acme"
    assert made["service"]["kind"] == "adhoc"
    assert find(plant, ip="192.168.0.99", port=8080)["service"]["id"] == made["service"]["id"]
    assert find(plant, service="ip-192-168-0-99-8080")["service"]["id"] == made["service"]["id"]
    at_level(plant, "enforced")
    with pytest.raises(Refused):
        resolve.take(kernel.store, kernel.keyring, who, found)


def test_a_manager_hears_what_is_missing_and_nobody_else(plant: Plant) -> None:
    _, operator = plant.member("olga")
    for level, ip, port, reason in (
        ("enforced", "192.168.0.99", 8080, "level"),
        ("high", "192.168.0.99", 80, "host_not_listed"),
        ("standard", "192.168.9.1", 80, "host_outside_lan"),
        ("standard", "192.168.0.10", 502, "port_not_web"),
    ):
        at_level(plant, level)
        found = find(plant, ip=ip, port=port)
        assert found["missing"] == {"ip": ip, "port": port, "reason": reason, "level": level}
        assert plant.audit("refused")[-1]["facts"]["ip"] == ip
        assert lost(plant, operator, ip=ip, port=port)[0] == "not_found"
    assert lost(plant, ip="192.168.0.255")[0] == "not_found"


def test_a_listed_service_comes_before_one_that_a_link_made(plant: Plant) -> None:
    at_level(plant, "standard")
    kernel = plant.kernel
    found = find(plant, ip="192.168.0.20", port=80)
    resolve.take(kernel.store, kernel.keyring, plant.who(), found)
    plant.add_service("web")
    assert find(plant, ip="192.168.0.20")["service"]["slug"] == "web"
