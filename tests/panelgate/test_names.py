import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelgate.errors import Unavailable
from panelgate.names import LABEL_LIMIT, Sites, account_ok, host_label, label_ok, slug_ok, slugify
from panelgate.ports import KnownPorts, PortRange

SLUGS = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(slug_ok)


@pytest.mark.parametrize("good", ["a", "press-7", "0", "a-b-c", "x" * 32])
def test_slugs_that_can_name_something(good: str) -> None:
    assert slug_ok(good)


@pytest.mark.parametrize("bad", ["", "-a", "a-", "a--b", "A", "a.b", "xn", "ä", "a b", "x" * 33, "a\n"])
def test_texts_that_cannot_be_a_slug(bad: str) -> None:
    assert not slug_ok(bad)


def test_an_account_is_no_word_of_the_portal_and_no_hash() -> None:
    assert account_ok("acme")
    assert account_ok("people-of-x")
    assert account_ok("h0123abcg")
    long = host_label("x" * 32, "y" * 32, "z" * 32)
    for bad in ("people", "machines", "sign-in", "a--b", long.rpartition("--")[2]):
        assert not account_ok(bad)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Mixer 7, Hall B", "mixer-7-hall-b"), ("Größe", "grosse"), ("  ", ""), ("漢字", ""), ("a" * 40, "a" * 32)],
)
def test_slug_of_a_human_name(name: str, slug: str) -> None:
    assert slugify(name) == slug


@given(st.text())
def test_slugify_gives_a_slug_or_nothing(name: str) -> None:
    slug = slugify(name)
    assert slug in {"", "xn"} or slug_ok(slug)


@given(SLUGS, SLUGS, SLUGS)
def test_a_host_label_always_fits_dns_and_names_one_service(service: str, device: str, account: str) -> None:
    label = host_label(service, device, account)
    assert len(label) <= LABEL_LIMIT
    assert Sites().label_of(f"{label}.apps.localhost:8080") == label


def test_long_names_that_start_alike_get_labels_of_their_own() -> None:
    labels = {host_label("s" * 31 + end, "d" * 32, "a" * 32) for end in "xyz"}
    assert len(labels) == 3


def test_addresses_of_a_demonstration() -> None:
    sites = Sites()
    assert sites.portal_origin == "http://portal.localhost:8080"
    assert sites.service_origin("hmi--m1--acme") == "http://hmi--m1--acme.apps.localhost:8080"
    assert sites.apps_wildcard == "http://*.apps.localhost:8080"


def test_addresses_of_a_real_installation_carry_no_port() -> None:
    sites = Sites("gate.example", "https", 443)
    assert sites.portal_origin == "https://portal.gate.example"
    assert sites.label_of("hmi--m1--acme.apps.gate.example") == "hmi--m1--acme"


@pytest.mark.parametrize(
    "host",
    [
        "hmi--m--a.apps.localhost",  # port missing
        "hmi--m--a.apps.localhost:80",
        "hmi--m--a.apps.localhost.:8080",  # a trailing dot is an origin of its own
        "a.b.apps.localhost:8080",
        ".apps.localhost:8080",
        "-a.apps.localhost:8080",
        "evil@hmi--m--a.apps.localhost:8080",
        "hmi--m--a.apps.localhost.evil:8080",
        f"{'a' * 64}.apps.localhost:8080",
        "",
    ],
)
def test_hosts_that_name_no_service(host: str) -> None:
    assert Sites().label_of(host) is None


def test_hosts_are_compared_without_case() -> None:
    assert Sites().label_of("HMI--M--A.Apps.Localhost:8080") == "hmi--m--a"
    assert Sites().is_portal("PORTAL.localhost:8080")
    assert not Sites().is_portal("portal.localhost.:8080")


def by_port() -> Sites:
    sites = Sites("gate.example", "https", 443, ports=KnownPorts(PortRange(20000, 20999)))
    sites.learn("hmi--m1--acme", 20001)
    return sites


def test_addresses_where_services_have_ports() -> None:
    sites = by_port()
    assert sites.portal_origin == "https://portal.gate.example"
    assert sites.service_origin("hmi--m1--acme") == "https://portal.gate.example:20001"
    assert sites.apps_wildcard == "https://portal.gate.example:*"
    assert sites.label_of("Portal.Gate.example:20001") == "hmi--m1--acme"
    assert (sites.word_of("hmi--m1--acme"), sites.word_of("x--y--z")) == ("20001", "")
    assert sites.has_origin("hmi--m1--acme")
    assert not sites.has_origin("x--y--z")
    with pytest.raises(Unavailable, match="PANELGATE_ORIGINS"):
        sites.service_origin("x--y--z")


@pytest.mark.parametrize(
    "host",
    [
        "portal.gate.example", "portal.gate.example:443", "portal.gate.example:19999", "portal.gate.example:21000",
        "portal.gate.example:020001", "portal.gate.example:+20001", "portal.gate.example.:20001", "evil:20001",
        "hmi--m1--acme.apps.gate.example:20001", ":20001", "20001", "portal.gate.example:20001:20001",
    ],
)  # fmt: skip
def test_hosts_that_are_no_services_port(host: str) -> None:
    assert by_port().port_named(host) is None
    assert not by_port().is_service(host)


def test_the_word_that_the_portal_is_told() -> None:
    assert by_port().word_ok("20777")
    assert not by_port().word_ok("hmi--m1--acme")
    assert not by_port().word_ok("80")
    names = Sites()
    assert names.word_of("a--b--c") == "a--b--c"
    assert names.word_ok("a--b--c")
    assert not names.word_ok("A--b--c")
    assert not names.word_ok("a.b")
    names.learn("a--b--c", 20001)
    assert names.port_named("portal.localhost:20001") is None
    assert names.is_service("a--b--c.apps.localhost:8080")


def test_the_portal_may_have_a_name_of_its_own() -> None:
    assert Sites("x", "https", 443, "gate.example").portal_origin == "https://gate.example"


def shared() -> Sites:
    return Sites("gate.example", "https", 443, apps="panels.gate.example")


def test_addresses_where_services_share_one_host() -> None:
    sites, label = shared(), "hmi--m1--acme"
    assert sites.service_origin(label) == "https://panels.gate.example" == sites.apps_wildcard
    assert sites.service_base(label) == "https://panels.gate.example/hmi--m1--acme"
    assert Sites().service_base(label) == Sites().service_origin(label)
    assert Sites(port=8090, apps="apps.localhost").service_base(label) == "http://apps.localhost:8090/hmi--m1--acme"
    assert sites.is_service("PANELS.gate.example")
    for host in (
        "gate.example",
        "panels.gate.example:444",
        "panels.gate.example.",
        "hmi--m1--acme.panels.gate.example",
    ):
        assert not sites.is_service(host)
    assert sites.label_of("panels.gate.example") is None
    assert (sites.word_of(label), sites.word_ok(label), sites.has_origin(label)) == (label, True, True)
    assert sites.cookie_stem == "__Host-"
    assert (Sites().apps_host, Sites().is_service("")) == ("", False)


@pytest.mark.parametrize(("text", "is_label"), [
    ("hmi--m1--acme", True), ("a-b--c-d--e-f", True), (host_label("s" * 32, "d" * 32, "a" * 32), True), ("api", False),
    ("a--b", False), ("a--b--c--d", False), ("A--b--c", False), ("a---b--c", False), ("a--b--c/", False), ("", False),
    ("a--b--" + "c" * 60, False), ("a--b--c\n", False),
])  # fmt: skip
def test_what_has_the_form_of_a_label(text: str, is_label: bool) -> None:
    assert label_ok(text) is is_label
