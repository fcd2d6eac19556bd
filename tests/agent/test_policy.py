"""Facts section 2.11 as a table, and the same rules under hypothesis."""

from ipaddress import IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy import (
    ALWAYS_DENIED,
    OwnerPolicy,
    Rules,
    decide,
    decide_unlisted,
    in_ticket,
    parse_address,
    parse_networks,
    strictest,
)

LAN = parse_networks(["192.168.0.0/24", "10.20.0.0/16", "fd12:3456::/64"])
OWN = frozenset({ip_address("192.168.0.1"), ip_address("fd12:3456::1")})


def rules(allow: tuple[str, ...] = (), only: tuple[str, ...] | None = None, lan: tuple[str, ...] = ()) -> Rules:
    owner = OwnerPolicy(parse_networks(allow), None if only is None else parse_networks(only))
    return Rules(parse_networks(lan) or LAN, owner, OWN)


@pytest.mark.parametrize(
    ("host", "allowed", "reason"),
    [
        ("192.168.0.10", True, "lan"),
        ("10.20.255.1", True, "lan"),
        ("fd12:3456::10", True, "lan"),
        ("192.168.1.10", False, "outside_lan"),
        ("8.8.8.8", False, "outside_lan"),
        ("192.168.0.255", False, "broadcast"),
        ("192.168.0.0", False, "this_network"),
        ("192.168.0.1", False, "own_address"),
        ("fd12:3456::1", False, "own_address"),
        ("127.0.0.1", False, "loopback"),
        ("127.0.80.10", False, "loopback"),
        ("::1", False, "loopback"),
        ("0.0.0.0", False, "this_network"),
        ("::", False, "this_network"),
        ("169.254.169.254", False, "link_local"),
        ("fe80::1", False, "link_local"),
        ("224.0.0.1", False, "multicast"),
        ("ff02::1", False, "multicast"),
        ("255.255.255.255", False, "broadcast"),
        ("240.0.0.1", False, "reserved"),
        ("100.100.100.200", False, "cloud_metadata"),
        ("fd00:ec2::254", False, "cloud_metadata"),
        ("::ffff:192.168.0.10", False, "ipv4_in_ipv6"),
        ("::ffff:127.0.0.1", False, "ipv4_in_ipv6"),
        ("::192.168.0.10", False, "ipv4_in_ipv6"),
        ("2002:c0a8:a::1", False, "ipv4_in_ipv6"),
        ("64:ff9b::c0a8:a", False, "nat64"),
        ("64:ff9b:1::c0a8:a", False, "nat64"),
    ],
)
def test_addresses(host: str, allowed: bool, reason: str) -> None:
    decision = decide(host, 80, rules())
    assert (decision.allowed, decision.reason) == (allowed, reason)


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "localhost", "panel.local", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1"),
        *("192.168.0.010", "192.168.0.10 ", " 192.168.0.10", "192.168.0.10\n", "192.168.0.10:80", "[fd12:3456::10]"),
        *(
            "fe80::1%eth0",
            "192.168.0.0/24",
            "192.168.0.10%0",
            "１９２.168.0.10",
            "http://192.168.0.10",
            "a@192.168.0.10",
        ),
    ],
)
def test_only_plain_ip_literals(host: str) -> None:
    assert decide(host, 80, rules(allow=("0.0.0.0/0", "::/0"))).reason == "not_an_ip_address"


@pytest.mark.parametrize("port", [0, -1, 65536, True])
def test_ports(port: int) -> None:
    assert decide("192.168.0.10", port, rules()).reason == "bad_port"


def test_owner_allow_opens_addresses_and_networks_outside_the_lan() -> None:
    assert decide("172.16.5.5", 80, rules(allow=("172.16.5.0/24",))).reason == "owner_allow"
    assert decide("8.8.8.8", 80, rules(allow=("8.8.8.8",))).reason == "owner_allow"


def test_always_denied_needs_the_exact_address() -> None:
    assert not decide("127.0.80.10", 80, rules(allow=("127.0.0.0/8",)))
    assert not decide("127.0.80.11", 80, rules(allow=("127.0.80.10",)))
    assert decide("127.0.80.10", 80, rules(allow=("127.0.80.10",)))
    assert decide("192.168.0.1", 80, rules(allow=("192.168.0.1",)))
    assert not decide("192.168.0.1", 80, rules(allow=("192.168.0.0/24",)))


def test_deny_all_but_beats_lan_and_allow() -> None:
    strict = rules(allow=("172.16.5.5",), only=("192.168.0.10",))
    assert decide("192.168.0.10", 80, strict)
    assert decide("192.168.0.11", 80, strict).reason == "not_in_owner_list"
    assert decide("172.16.5.5", 80, strict).reason == "not_in_owner_list"
    assert decide("192.168.0.10", 80, rules(only=())).reason == "not_in_owner_list"


def test_deny_all_but_does_not_open_what_is_always_denied() -> None:
    assert decide("127.0.0.1", 80, rules(only=("127.0.0.1",))).reason == "loopback"


def test_a_declared_lan_never_reaches_the_internet_or_loopback() -> None:
    everything = rules(lan=("0.0.0.0/0", "::/0"))
    assert decide("8.8.8.8", 80, everything).reason == "public_address"
    assert decide("2a00::1", 80, everything).reason == "public_address"
    assert decide("127.0.0.1", 80, everything).reason == "loopback"
    assert decide("10.1.2.3", 80, everything)


def test_small_networks_have_no_broadcast_address() -> None:
    assert decide("10.0.0.1", 80, rules(lan=("10.0.0.0/31",)))
    assert decide("10.0.0.0", 80, rules(lan=("10.0.0.0/32",)))


def test_ticket_services() -> None:
    assert in_ticket("a", ("a", "b"))
    assert not in_ticket("c", ("a", "b"))
    assert not in_ticket("a", ())
    assert not in_ticket("", ("",))


def test_networks_name_the_bad_text() -> None:
    with pytest.raises(ValueError, match="panel"):
        parse_networks(["10.0.0.0/8", "panel"])
    with pytest.raises(ValueError, match="eth0"):
        parse_networks(["fe80::1%eth0"])


@given(st.ip_addresses(), st.integers(1, 65535))
def test_without_an_owner_only_private_lan_addresses_pass(address: object, port: int) -> None:
    decision = decide(str(address), port, rules())
    if decision:
        parsed = parse_address(str(address))
        assert parsed is not None
        assert parsed.is_private
        assert not any((parsed.is_loopback, parsed.is_multicast, parsed.is_link_local, parsed.is_unspecified))
        assert any(parsed.version == n.version and parsed in n for n in LAN)
        assert parsed not in OWN


@given(st.sampled_from(ALWAYS_DENIED).flatmap(lambda row: st.ip_addresses(network=row[0])))
def test_denied_ranges_stay_denied_whatever_the_lan(address: object) -> None:
    assert not decide(str(address), 80, rules(allow=("0.0.0.0/1", "128.0.0.0/1", "::/1"), lan=("0.0.0.0/0", "::/0")))


@given(st.ip_addresses(v=4))
def test_no_ipv6_spelling_of_an_ipv4_address_passes(address: object) -> None:
    mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + ip_address(str(address)).packed)
    nat64 = IPv6Address(bytes.fromhex("0064ff9b0000000000000000") + ip_address(str(address)).packed)
    for text in (str(mapped), mapped.exploded, str(nat64)):
        assert not decide(text, 80, rules(lan=("0.0.0.0/0", "::/0")))


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    decide(text, 80, rules())


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_deny_all_but_is_never_left(number: int, length: int) -> None:
    only = IPv4Network((number, length), strict=False)
    decision = decide("192.168.0.10", 80, rules(only=(str(only),)))
    assert bool(decision) == (ip_address("192.168.0.10") in only)


@pytest.mark.parametrize(
    ("level", "owner", "host", "reason"),
    [
        ("standard", "standard", "192.168.0.10", "standard"),
        ("standard", "standard", "192.168.0.99", "standard"),
        ("high", "standard", "192.168.0.10", "high"),
        ("high", "standard", "192.168.0.99", "host_not_listed"),
        ("enforced", "standard", "192.168.0.10", "level"),
        ("ultra", "standard", "192.168.0.10", "level"),
        ("", "standard", "192.168.0.10", "level"),
        ("wider-than-ever", "standard", "192.168.0.10", "level"),
        ("standard", "high", "192.168.0.99", "host_not_listed"),
        ("standard", "enforced", "192.168.0.10", "level"),
        ("standard", "ultra", "192.168.0.10", "level"),
        ("high", "enforced", "192.168.0.10", "level"),
    ],
)
def test_what_nobody_listed_opens_by_level(level: str, owner: str, host: str, reason: str) -> None:
    found = Rules(LAN, OwnerPolicy(level=owner), OWN, level)
    decision = decide_unlisted(host, {"192.168.0.10"}, found)
    assert (decision.reason, bool(decision)) == (reason, reason in ("standard", "high"))


@pytest.mark.parametrize("host", ["127.0.0.1", "8.8.8.8", "10.99.0.1", "192.168.0.010", "plc", "fe80::1%eth0", ""])
def test_unlisted_means_inside_the_declared_lan_whatever_the_owner_allows_besides(host: str) -> None:
    found = Rules(LAN, OwnerPolicy(parse_networks(["127.0.0.1", "8.8.8.8", "10.99.0.0/16"])), OWN, "standard")
    assert decide_unlisted(host, {host}, found).reason == "outside_lan"


@pytest.mark.parametrize("host", ["192.168.0.1", "fd12:3456::1"])
def test_a_link_opens_no_port_of_this_machine_though_its_owner_allowed_a_listed_one(host: str) -> None:
    found = Rules(LAN, OwnerPolicy(parse_networks([host])), OWN, "standard")
    assert decide(host, 80, found).reason == "owner_allow"
    assert decide_unlisted(host, {host}, found).reason == "own_address"


def test_the_stricter_of_two_levels_counts() -> None:
    assert strictest("standard", "high") == "high"
    assert strictest("ultra", "standard", "enforced") == "ultra"
    assert strictest("standard", "unheard-of") == "unheard-of"
