import pytest

from access import targets
from panelgate.errors import BadInput

PLANT = ("192.168.0.0/24",)


def test_a_plain_address_inside_the_lan_is_taken():
    assert targets.check_host("192.168.0.10", PLANT) == "192.168.0.10"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "plc.local",
        "3232235530",
        "0xc0a8000a",
        "0300.0250.0.012",
        "192.168.10",
        "192.168.0.10 ",
        "[::1]",
        "fe80::1%eth0",
        "",
    ],
)
def test_names_and_odd_forms_are_no_addresses(host):
    with pytest.raises(BadInput) as refused:
        targets.check_host(host, PLANT)
    assert refused.value.code == "host_not_ip"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.80.10", "169.254.1.1", "169.254.169.254", "::1", "::",
        "0.0.0.0", "224.0.0.1", "255.255.255.255",
        "240.0.0.1", "::ffff:192.168.0.10", "::192.168.0.10", "64:ff9b::c0a8:a", "2002:c0a8:a::1", "ff02::1", "fe80::1",
        "192.168.0.0", "192.168.0.255",
    ],
)  # fmt: skip
@pytest.mark.parametrize("lan", [PLANT, ("192.168.0.0/24", "10.0.0.0/8", "fd12:3456:789a::/48")])
def test_special_addresses_are_forbidden(host, lan):
    with pytest.raises(BadInput) as refused:
        targets.check_host(host, lan)
    assert refused.value.code == "host_forbidden"


def test_a_declared_part_of_loopback_is_reachable_and_only_that_part():
    assert targets.check_host("127.0.80.10", ("127.0.80.0/24",)) == "127.0.80.10"
    with pytest.raises(BadInput):
        targets.check_host("127.0.81.10", ("127.0.80.0/24",))
    assert targets.check_host("::1", ("::1/128",)) == "::1"


def test_the_metadata_service_is_unreachable_even_when_its_network_is_declared():
    with pytest.raises(BadInput) as refused:
        targets.check_host("169.254.169.254", ("169.254.169.0/24",))
    assert refused.value.code == "host_forbidden"
    with pytest.raises(BadInput):
        targets.parse_lan(["169.254.169.254/32"])


def test_an_address_outside_the_lan_is_refused_and_the_facts_say_which_lan():
    with pytest.raises(BadInput) as refused:
        targets.check_host("192.168.1.10", PLANT)
    assert refused.value.code == "host_outside_lan"
    assert refused.value.facts["lan"] == ["192.168.0.0/24"]
    with pytest.raises(BadInput):
        targets.check_host("192.168.0.10", ())


def test_networks_are_canonical_and_not_repeated():
    assert targets.parse_lan([" 10.0.0.0/8", "10.0.0.0/8", "fd12:3456:789a::/48"]) == (
        "10.0.0.0/8",
        "fd12:3456:789a::/48",
    )


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "192.168.0.5/24", "plant", "127.0.0.0/8", "::/0", "224.0.0.0/8", "::ffff:0:0/96", ""]
)
def test_bad_networks_are_refused(network):
    with pytest.raises(BadInput) as refused:
        targets.parse_lan([network])
    assert refused.value.code == "bad_lan"


def test_too_many_networks_are_refused():
    with pytest.raises(BadInput):
        targets.parse_lan([f"10.{n}.0.0/16" for n in range(targets.MAX_NETWORKS + 1)])


def test_an_agent_cannot_declare_its_own_loopback():
    assert targets.usable_lan(["192.168.0.0/24", "127.0.0.0/24", "junk", "192.168.0.0/24"]) == ("192.168.0.0/24",)


def test_protocols_and_ports():
    assert targets.check_port(None, targets.check_protocol("vnc")) == 5900
    assert targets.check_port(8081, "http") == 8081
    with pytest.raises(BadInput):
        targets.check_protocol("ssh")
    for port in (0, 65536, -1):
        with pytest.raises(BadInput):
            targets.check_port(port, "http")


@pytest.mark.parametrize("path", ["//evil/x", "x", "/a b", "/a\\b", "/\r\nX: y", "/a#b", "/%zz", "/" + "a" * 600, "/ü"])
def test_bad_paths(path):
    with pytest.raises(BadInput):
        targets.check_path(path)


def test_good_paths():
    assert targets.check_path("") == "/"
    assert targets.check_path("/a/b%20c?x=1&y=%2f") == "/a/b%20c?x=1&y=%2f"


def test_tls_defaults_to_strict_and_a_pin_is_normalised():
    pin = ":".join(["AB"] * 32)
    assert targets.check_tls("https", None, None) == ("ca", None)
    assert targets.check_tls("https", "pin", pin) == ("pin", "ab" * 32)
    assert targets.check_tls("https", "pin", None) == ("pin", None)  # not trusted yet
    assert targets.check_tls("https", "none", pin) == ("none", None)
    assert targets.check_tls("http", "ca", pin) == ("none", None)
    assert targets.check_tls("vnc", None, None) == ("none", None)
    for bad in [("https", "maybe", None), ("https", "pin", "ab")]:
        with pytest.raises(BadInput):
            targets.check_tls(*bad)


def test_loopback_is_declared_only_where_the_installation_allows_it():
    with pytest.raises(BadInput):
        targets.parse_lan(["127.0.80.0/24"])
    assert targets.parse_lan(["127.0.80.0/24"], loopback=True) == ("127.0.80.0/24",)
    with pytest.raises(BadInput):
        targets.parse_lan(["127.0.0.0/8"], loopback=True)
