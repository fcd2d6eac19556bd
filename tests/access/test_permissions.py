"""The table of actions and levels, and what grants make of it."""

from __future__ import annotations

import pytest

from access.kernel import Kernel
from access.models.machines import Device, Service
from access.models.people import Grant
from access.permissions import ACTIONS, GRANTABLE, Level, Rights, parse_level, rights_of
from panelgate.errors import BadInput, Broken, Refused
from tests.fakes.access_world import make_account, make_user

SEE, WATCH, OPERATE, MANAGE = (GRANTABLE[name] for name in ("see", "watch", "operate", "manage"))


def test_nothing_is_allowed_by_default() -> None:
    rights = Rights()
    for action in ACTIONS:
        assert not rights.may(action)
        assert not rights.may(action, "d", "s")


def test_administrators_may_all() -> None:
    rights = Rights(administrator=True)
    assert all(rights.may(action, "d", "s") for action in ACTIONS)
    assert rights.words("d") == ["see", "watch", "operate", "manage"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("level", [SEE, WATCH, OPERATE, MANAGE])
def test_every_level_against_every_action(level: Level, action: str) -> None:
    allowed = level >= ACTIONS[action]
    assert Rights(everything=level).may(action, "d") is allowed
    assert Rights(devices={"d": level}).may(action, "d") is allowed
    assert not Rights(devices={"other": level}).may(action, "d")
    assert Rights(services={"s": level}, of_device={"d": frozenset("s")}).may(action, "d", "s") is allowed
    assert not Rights(services={"s": level}, of_device={"d": frozenset("s")}).may(action, "d", "t")
    assert ACTIONS[action] is not Level.ADMINISTER or not allowed


def test_levels_include_those_below() -> None:
    assert list(GRANTABLE.values()) == sorted(GRANTABLE.values())
    assert Rights(devices={"d": OPERATE}).words("d") == ["see", "watch", "operate"]
    assert Rights().words("d") == []


def test_the_highest_grant_counts() -> None:
    rights = Rights(everything=WATCH, devices={"d": SEE}, services={"s": MANAGE}, of_device={"d": frozenset("s")})
    assert rights.level("d") == WATCH
    assert rights.level("d", "s") == MANAGE


def test_one_service_shows_its_device_and_no_more() -> None:
    rights = Rights(services={"s": MANAGE}, of_device={"d": frozenset("s")})
    assert rights.level("d") == SEE
    assert rights.level("d", "t") is None
    assert rights.level("e") is None


def test_what_one_may_not_see_is_not_there() -> None:
    with pytest.raises(Refused) as caught:
        Rights().require("service.operate", "d", "s")
    assert (caught.value.code, caught.value.status) == ("not_found", 404)
    with pytest.raises(Refused) as caught:
        Rights(devices={"d": WATCH}).require("service.operate", "d", "s")
    assert (caught.value.code, caught.value.status, caught.value.facts) == (
        "not_allowed", 403, {"action": "service.operate"},
    )  # fmt: skip
    with pytest.raises(Refused, match="administrator"):
        Rights(everything=MANAGE).require("users.read")
    Rights(devices={"d": OPERATE}).require("service.operate", "d", "s")


def test_an_action_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(Broken):
        Rights(administrator=True).may("coffee.make")


def test_rights_come_from_grants(kernel: Kernel) -> None:
    account, anna = make_account(kernel, "acme")
    bert = make_user(kernel, account, "bert")
    with kernel.store.account(account, write=True) as unit:
        assert rights_of(unit, anna, "administrator") == Rights(administrator=True)
        assert rights_of(unit, bert, "member") == Rights()
        unit.add(Grant(user_id=bert, level="see"))
        unit.add(Grant(user_id=bert, level="watch"))
        rights = rights_of(unit, bert, "member")
        assert rights == Rights(everything=WATCH)


def test_levels_by_name() -> None:
    assert parse_level("watch") is WATCH
    for text in ("administer", "", "WATCH"):
        with pytest.raises(BadInput):
            parse_level(text)


def test_grants_of_devices_and_services(kernel: Kernel) -> None:
    account, _ = make_account(kernel, "acme")
    bert = make_user(kernel, account, "bert")
    with kernel.store.account(account, write=True) as unit:
        device = unit.add(Device(slug="press", name="Press", created=1.0)).id
        fields = {"name": "x", "host": "192.168.0.2", "port": 80, "protocol": "http", "created": 1.0}
        hmi = unit.add(Service(device_id=device, slug="hmi", host_label="hmi--press--acme", **fields)).id
        unit.add(Grant(user_id=bert, device_id=device, level="see"))
        unit.add(Grant(user_id=bert, device_id=device, service_id=hmi, level="operate"))
        rights = rights_of(unit, bert, "member")
        assert rights == Rights(False, None, {device: SEE}, {hmi: OPERATE}, {device: frozenset({hmi})})
        unit.delete(unit.need(Service, hmi))
        assert rights_of(unit, bert, "member").services == {}
