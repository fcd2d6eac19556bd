"""Deep links: three forms, and one neutral answer for everything else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from access import resolve
from access.resolve import Link
from panelgate.errors import Refused
from tests.fakes.access_machines import PANEL_PASSWORD, Plant


def find(plant: Plant, session: str = "", **parts: Any) -> dict[str, Any]:
    link = Link(**({"account": "acme", "device": "press"} | parts))
    return resolve.resolve(plant.kernel.store, plant.who(session), link)


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
        lost(plant, ip="192.168.0.99"),
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
    for parts in ({"account": "rival"}, {"account": "nobody"}, {"device": "nothing"}, {"service": "nothing"}):
        who = plant.who()
        link = Link(**({"account": "acme", "device": "press", "service": "hmi"} | parts))
        done.clear()
        with pytest.raises(Refused):
            resolve.resolve(plant.kernel.store, who, link)
        work.append(tuple(done))
    assert len(work[0]) > 4
    assert len(set(work)) == 1
