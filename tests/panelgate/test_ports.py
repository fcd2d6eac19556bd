from __future__ import annotations

import pytest

from panelgate.errors import BadInput
from panelgate.ports import WIDEST, KnownPorts, PortRange


def test_a_range() -> None:
    ports = PortRange.of(" 20000 - 20009 ")
    assert (len(ports), next(iter(ports)), [*ports][-1], str(ports)) == (10, 20000, 20009, "20000-20009")
    assert 20000 in ports
    assert 20010 not in ports
    assert None not in ports


@pytest.mark.parametrize(
    "text", ["", "20000", "a-b", "20009-20000", "80-90", "60000-70000", "-", "20000-²", f"20000-{20000 + WIDEST}"]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(BadInput, match="PANELGATE_ORIGIN_PORTS") as caught:
        PortRange.of(text)
    assert caught.value.code == "bad_origin_ports"


def test_what_was_learned_last_counts() -> None:
    known = KnownPorts(PortRange(20000, 20009))
    known.learn("a--b--c", 20000)
    known.learn("d--e--f", 20001)
    assert (known.label_at(20000), known.port_of("d--e--f")) == ("a--b--c", 20001)
    known.learn("d--e--f", 20000)
    assert (known.label_at(20000), known.port_of("a--b--c"), known.label_at(20001)) == ("d--e--f", None, None)
    known.learn("d--e--f", 20005)
    assert (known.label_at(20000), known.label_at(20005)) == (None, "d--e--f")
    known.hear("x--y--z", 20005)
    known.hear("d--e--f", 20006)
    assert (known.label_at(20005), known.label_at(20006)) == ("d--e--f", None)
    known.hear("x--y--z", 20006)
    assert known.label_at(20006) == "x--y--z"
    known.forget(20005)
    known.forget(20005)
    assert known.port_of("d--e--f") is None


@pytest.mark.parametrize(("label", "port"), [("x", 19999), ("x", None), ("x", "20000"), ("", 20000)])
def test_what_is_no_port_of_ours_is_not_learned(label: str, port: object) -> None:
    known = KnownPorts(PortRange(20000, 20009))
    known.learn(label, port)
    assert known.port_of(label) is None
