import pytest
from hypothesis import given
from hypothesis import strategies as st

from webproxy.pages.safety import HOME, account_of, safe_next, with_next

EVIL = [
    None,
    "",
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil",
    "/\t/evil.example",
    "/\n/evil",
    "javascript:alert(1)",
    "/ /evil",
    " //evil",
    "http:/evil",
    "/a\\b",
    "/\x00",
    "x" * 5000,
    "/" + "x" * 5000,
    "evil.example",
    "?x",
    "#x",
    "/sign-out",
    "/sign-in?next=/x",
    "/live",
    "//evil@portal",
    "/\r\nSet-Cookie: a=b",
    "/a\u007f",
]


@pytest.mark.parametrize("value", EVIL)
def test_nothing_leads_away(value):
    assert safe_next(value) == HOME


@pytest.mark.parametrize(
    "value",
    ["/alpine/press-4/hmi/a%2fb?x=1#frag", "/machines?q=a", "/launch?host=x&n=y", "/a/b?u=https://x.example//y"],
)
def test_paths_of_the_portal_stay(value):
    assert safe_next(value) == value


@given(st.text())
def test_always_a_path_here(text):
    result = safe_next("/" + text)
    assert result.startswith("/")
    assert not result.startswith(("//", "/\\"))
    assert result.isprintable() or all(ord(char) > 127 for char in result if not char.isprintable())


def test_the_account_of_a_link():
    assert account_of("/alpine/press-4/hmi") == "alpine"
    assert account_of("/ALPINE/Press%204/proxy/192.168.0.12/") == "alpine"
    assert account_of("/Alpine%20Forming/press-4") == ""
    assert account_of("/machines/press-4") == ""
    assert account_of("/machines") == ""
    assert account_of("/launch?host=hmi--press-4--alpine&n=1") == "alpine"
    assert account_of("/launch?host=hmi--h1234abcd--h5678abcd") == ""
    assert account_of("/launch?host=x") == ""


def test_next_is_quoted():
    assert with_next("/sign-in", HOME) == "/sign-in"
    assert with_next("/sign-in", "/a/b?c=d&e#f") == "/sign-in?next=/a/b%3Fc%3Dd%26e%23f"
