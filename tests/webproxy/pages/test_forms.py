import pytest

from panelgate.errors import BadInput, Refused, Unavailable
from webproxy.pages.forms import (
    Problems,
    check_host,
    check_password,
    check_port,
    check_slug,
    outside,
    read_networks,
)


@pytest.mark.parametrize(
    ("slug", "good"),
    [("alpine", True), ("a-1", True), ("", False), ("A", False), ("a--b", False), ("people", False), ("x" * 33, False)],
)
def test_slugs(slug, good):
    problems = Problems()
    check_slug(problems, "account", slug, account=True)
    assert bool(problems) is not good


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [("short", "short", "password"), ("x" * 300, None, "password"), ("long enough", "long enougH", "repeated")],
)
def test_passwords(first, second, name):
    problems = Problems()
    check_password(problems, first, second)
    assert name in problems.found


@pytest.mark.parametrize("text", ["0", "65536", "-1", "8o", "", "٣"])
def test_bad_ports(text):
    problems = Problems()
    assert check_port(problems, "port", text) == 0
    assert problems


def test_good_values():
    problems = Problems()
    assert check_port(problems, "port", "5900") == 5900
    assert check_host(problems, "host", "192.168.0.12") == "192.168.0.12"
    assert read_networks(problems, "lan", "10.0.0.1/8\n192.168.1.0/24") == ["10.0.0.0/8", "192.168.1.0/24"]
    check_password(problems, "a good sentence", "a good sentence")
    assert not problems


def test_bad_values_are_noted():
    problems = Problems()
    check_host(problems, "host", "plc.local")
    read_networks(problems, "lan", "10.0.0.0/99")
    assert set(problems.found) == {"host", "lan"}


def test_answers_of_access_find_their_field():
    problems = Problems()
    problems.take(BadInput("slug_taken", "there is one already", status=409))
    problems.take(BadInput("other", "odd"))
    assert problems.found == {"slug": "There is one already.", "": "Odd."}


@pytest.mark.parametrize(
    "error", [Unavailable("access_down"), Refused("no_session", status=401), Refused("not_found", status=404)]
)
def test_other_errors_go_on(error):
    with pytest.raises(type(error)):
        Problems().take(error)


def test_an_answer_of_access_stands_at_its_field():
    problems = Problems()
    problems.take(BadInput("bad_lan", "10.0.0.0/7 is too wide", {}))
    problems.take(BadInput("host_outside_lan", "x", {"host": "10.1.2.3", "lan": ["192.168.0.0/24"]}))
    assert "too wide" in problems.found["lan"]
    assert problems.found["host"].startswith("10.1.2.3 is not in the machine's network, 192.168.0.0/24.")
    assert outside({"host": "10.1.2.3", "lan": []}).startswith("This machine has no network yet")
