from email.utils import formatdate

import httpx
import pytest

from panelgate import introduction
from panelgate.clock import FakeClock
from panelgate.errors import BadInput, PanelgateError
from panelgate.pki import Authority, to_pem

AUTHORITY = Authority.create()
KEY = "pgk-" + "a" * 26 + "-" + introduction.ca_part(AUTHORITY.certificate)
CLOCK = FakeClock()


def answering(body: str, status: int = 200, *, behind: float = 0) -> httpx.MockTransport:
    date = formatdate(CLOCK.now() + behind, usegmt=True)
    return httpx.MockTransport(lambda _: httpx.Response(status, text=body, headers={"Date": date}))


def test_what_a_person_typed_is_tidied() -> None:
    assert introduction.tidy(f"  {KEY.upper()}\n", "pgk") == KEY


@pytest.mark.parametrize(
    "text",
    ["", "pgk-", KEY[:-1], KEY + "a", KEY.replace("pgk", "pgj"), KEY.replace("a", "1", 1)],
    # The key is another one in each test process: names of tests must not hold it.
    ids=["empty", "no secret", "short", "long", "join token", "foreign letter"],
)
def test_half_a_key_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="not a complete activation key"):
        introduction.tidy(text, "pgk")


async def test_the_right_authority_is_returned() -> None:
    found = await introduction.fetch_authority("https://a/", KEY, CLOCK, answering(to_pem(AUTHORITY.certificate)))
    assert found == AUTHORITY.certificate


@pytest.mark.parametrize(
    ("url", "transport", "code"),
    [
        ("http://a", answering(""), "not_https"),
        ("https://a", answering("hello"), "bad_answer"),
        ("https://a", answering("hello", 404), "bad_answer"),
        ("https://a", answering(to_pem(Authority.create().certificate)), "wrong_ca"),
        ("https://a", answering(to_pem(AUTHORITY.certificate), behind=7200), "clock_skew"),
        ("https://a", answering(to_pem(AUTHORITY.certificate), behind=-61), "clock_skew"),
    ],
)
async def test_everything_else_is_refused(url: str, transport: httpx.MockTransport, code: str) -> None:
    with pytest.raises(PanelgateError) as refused:
        await introduction.fetch_authority(url, KEY, CLOCK, transport)
    assert refused.value.code == code


def test_the_clock_message_is_for_people() -> None:
    with pytest.raises(PanelgateError, match="2 hours behind"):
        introduction.check_clock(formatdate(CLOCK.now() + 7200), CLOCK)
    with pytest.raises(PanelgateError, match="1 day ahead"):
        introduction.check_clock(formatdate(CLOCK.now() - 86400), CLOCK)
    introduction.check_clock(None, CLOCK)
    introduction.check_clock("yesterday", CLOCK)


async def test_nobody_there() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(PanelgateError, match="outgoing HTTPS"):
        await introduction.fetch_authority("https://a", KEY, CLOCK, httpx.MockTransport(refuse))
