from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.forward.jar import NAMES, Jar, to_browser

ONE = Jar.at(20001, "hmi--press--acme")
TWO = Jar.at(20002, "hmi--mixer--acme")


def test_names_at_a_port() -> None:
    assert ONE.session == b"__Host-Http-pg-20001"
    assert ONE.prefix.startswith(b"p20001-")
    assert ONE.prefix.endswith(b"~")
    assert not NAMES.prefix


def test_a_ports_next_service_has_another_prefix() -> None:
    assert Jar.at(20001, "other--press--acme").prefix != ONE.prefix


@pytest.mark.parametrize(
    "pair",
    [b"session=abc", b"a=b=c", b"__Host-sid=1", b"__secure-x=1", b"__Host-Http-x=1", b"__Http-x=", b"lone", b"=v"],
)
def test_a_devices_cookie_comes_back_as_it_was(pair: bytes) -> None:
    kept = to_browser(ONE.prefix, pair)
    assert ONE.split([kept]) == ([], [pair.removeprefix(b"=")])
    assert TWO.split([kept]) == ([], [])


@pytest.mark.parametrize(
    ("pair", "start"),
    [
        (b"sid=1", b"__Http-p20001-"), (b"__Secure-x=1", b"__Http-p20001-"), (b"lone", b"__Http-p20001-"),
        (b"__Host-x=1", b"__Host-Http-p20001-"), (b"__HOST-http-x=1", b"__Host-Http-p20001-"),
    ],
)  # fmt: skip
def test_no_script_sets_a_name_that_reaches_a_device(pair: bytes, start: bytes) -> None:
    assert to_browser(ONE.prefix, pair).startswith(start)
    assert ONE.split([ONE.prefix + pair, pair]) == ([], [])


@given(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"=; \t\r\n")), st.binary())
def test_any_name_comes_back(name: bytes, value: bytes) -> None:
    value = value.translate(None, b"; \t\r\n")
    assert ONE.split([to_browser(ONE.prefix, name + b"=" + value)])[1] == [name + b"=" + value]


def test_ours_of_all_ports_and_the_portals_reach_no_device() -> None:
    line = (
        b"__Host-Http-pg-20001=tok; __Host-Http-pg-20002=t2; __Host-Http-pgs=p; __Host-pg=x; __Host-Http-pgn-20001-0=n"
    )
    more = b"plain=1; __HOST-http-pg-20001=odd; " + to_browser(ONE.prefix, b"sid=1")
    assert ONE.split([line, more]) == ([b"tok"], [b"sid=1"])


def test_two_sessions_are_both_reported() -> None:
    assert ONE.split([b"__Host-Http-pg-20001=a; __Host-Http-pg-20001=b"])[0] == [b"a", b"b"]


def test_where_services_have_hosts_names_stay() -> None:
    assert to_browser(b"", b"session=1") == b"session=1"


def test_names_at_a_host_that_services_share() -> None:
    one, two = Jar.below("hmi--press--acme"), Jar.below("hmi--mixer--acme")
    assert one.session.startswith(b"__Host-Http-pg-")
    assert len({one.session, one.nonce, one.landing, one.user, two.session, two.nonce, two.landing, two.user}) == 8
    kept = to_browser(one.prefix, b"session=1")
    assert one.split([kept + b"; x=1; " + one.session + b"=t"]) == ([b"t"], [b"session=1"])
    assert two.split([kept + b"; x=1; " + one.session + b"=t"]) == ([], [])
