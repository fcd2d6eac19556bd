"""Ticket keys: sealed, published before they sign, replaced in time."""

from __future__ import annotations

import pytest

from access import signing
from access.kernel import Kernel
from access.models.machines import SigningKey
from panelgate.clock import FakeClock
from panelgate.errors import Broken
from panelgate.tickets import ControlTicket, Verifier

DAY = 86400.0


def ensure(kernel: Kernel) -> bool:
    with kernel.store.operator(write=True) as unit:
        return signing.ensure(unit, kernel.keyring)


def key_ids(kernel: Kernel) -> list[str]:
    with kernel.store.operator() as unit:
        return [key["kid"] for key in signing.jwks(unit)["keys"]]


def token(kernel: Kernel) -> str:
    with kernel.store.operator() as unit:
        ticket = ControlTicket("d", "f", "r", 1, unit.now + 60)
        return signing.signer(unit, kernel.keyring).control(ticket, unit.now)


def test_an_installation_without_a_key_says_the_command(kernel: Kernel) -> None:
    with pytest.raises(Broken) as caught:
        token(kernel)
    assert caught.value.code == "no_signing_key"
    assert "panelgate access init" in caught.value.message


def test_the_first_key_signs_at_once_and_only_its_public_part_is_published(kernel: Kernel) -> None:
    assert ensure(kernel)
    assert not ensure(kernel)
    with kernel.store.operator() as unit:
        (row,) = unit.all(SigningKey)
        jwks = signing.jwks(unit)
    assert "d" not in jwks["keys"][0]
    assert '"d"' not in row.sealed_private
    assert Verifier(jwks).control(token(kernel), kernel.clock.now()).device_id == "d"


def test_the_next_key_is_published_a_day_before_it_signs(kernel: Kernel, clock: FakeClock) -> None:
    ensure(kernel)
    (first,) = key_ids(kernel)
    clock.advance(29.5 * DAY)
    assert ensure(kernel)
    second, kept = key_ids(kernel)
    assert kept == first
    with kernel.store.operator() as unit:
        early = Verifier(signing.jwks(unit))
    assert early.control(token(kernel), clock.now())
    clock.advance(1.5 * DAY)
    assert early.control(token(kernel), clock.now())  # whoever fetched yesterday knows the key that signs now
    clock.advance(8 * DAY)
    assert ensure(kernel)
    assert key_ids(kernel) == [second]
