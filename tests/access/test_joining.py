"""Joining: a token lets one relay or web proxy in, once, for a day."""

from __future__ import annotations

import pytest
from cryptography import x509

from access import audit, authority, joining
from access.kernel import Kernel
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, PanelgateError
from panelgate.pki import Role, make_csr, make_key, peer_of
from tests.access.test_authority import csr_naming


def token(kernel: Kernel, role: Role = Role.RELAY) -> str:
    with kernel.store.operator(write=True) as unit:
        return joining.new_token(unit, kernel.authority.certificate, role)[0]


def join(
    kernel: Kernel, text: str, role: str = "relay", csr: str = "", names: tuple[str, ...] = ()
) -> x509.Certificate:
    csr = csr or make_csr(make_key())
    return joining.join(kernel.store, kernel.authority, text, role, csr, names, "198.51.100.9")[1]


def names_of(certificate: x509.Certificate) -> list[str]:
    carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return carried.get_values_for_type(x509.DNSName)


def test_a_relay_joins_with_its_names_and_an_id_of_ours(kernel: Kernel) -> None:
    certificate = join(kernel, token(kernel), csr=csr_naming("relay:mine"), names=("relay.example.com",))
    peer = peer_of(certificate)
    assert peer.role is Role.RELAY
    assert len(peer.id) == 32
    assert names_of(certificate) == ["relay.example.com"]
    assert not authority.is_revoked(kernel.store, peer)
    with kernel.store.operator() as unit:
        row = audit.page(unit, action="role.join")[0][0]
        assert audit.as_json(row)["facts"]["claimed"] == "relay:mine"


def test_a_web_proxys_certificate_carries_no_names(kernel: Kernel) -> None:
    assert names_of(join(kernel, token(kernel, Role.WEBPROXY), "webproxy", names=("portal.example.com",))) == []


def test_wrong_used_expired_and_misused_tokens_have_a_code_each(kernel: Kernel, clock: FakeClock) -> None:
    used, other, old = token(kernel), token(kernel), token(kernel)
    join(kernel, used)
    codes = []
    for text, role in ((used, "relay"), ("pgj-" + "a" * 26 + used[-33:], "relay"), (other, "webproxy"), ("x", "relay")):
        with pytest.raises(PanelgateError) as caught:
            join(kernel, text, role)
        codes.append(caught.value.code)
    clock.advance(joining.TOKEN_SECONDS)
    with pytest.raises(PanelgateError) as caught:
        join(kernel, old)
    assert [*codes, caught.value.code] == ["token_used", "wrong_token", "token_role", "bad_key", "token_expired"]
    with kernel.store.operator() as unit:
        refused = [row for row in audit.page(unit, action="role.join")[0] if row.result == "refused"]
    assert len(refused) == 5


def test_a_broken_request_leaves_the_token_usable(kernel: Kernel) -> None:
    text = token(kernel)
    with pytest.raises(BadInput):
        join(kernel, text, csr="junk")
    assert peer_of(join(kernel, text)).role is Role.RELAY


def test_agents_and_access_do_not_join_with_tokens(kernel: Kernel) -> None:
    with kernel.store.operator(write=True) as unit, pytest.raises(BadInput) as caught:
        joining.new_token(unit, kernel.authority.certificate, Role.ACCESS)
    assert caught.value.code == "bad_role"


def test_renewal_keeps_role_and_id(kernel: Kernel) -> None:
    peer = peer_of(join(kernel, token(kernel)))
    with kernel.store.operator(write=True) as unit:
        renewed = joining.renew(unit, kernel.authority, peer, make_csr(make_key()), ["r.example.com"], "198.51.100.9")
    again = peer_of(renewed)
    assert (again.role, again.id) == (peer.role, peer.id)
    assert names_of(renewed) == ["r.example.com"]
    assert not authority.is_revoked(kernel.store, peer)
