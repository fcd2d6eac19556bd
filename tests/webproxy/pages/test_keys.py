import pytest

from tests.fakes.portal_access import FakeAccess, three
from tests.fakes.portal_browser import browse, page
from webproxy.pages.keys import commands, here_only


async def test_the_key_is_shown_only_when_asked_for():
    access = FakeAccess()
    async with browse(access) as client:
        seen = await page(client, "/machines/packer/connect")
        assert "pgk-" not in seen.words
        assert "Waiting for the agent" in seen.words
        answer = await client.post("/machines/packer/connect")
        assert "agent enrol" in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert 'data-copy="panelgate agent enrol' in answer.text


async def test_the_page_says_when_the_agent_is_there():
    async with browse() as client:
        assert "Press 4 is connected" in (await page(client, "/machines/press-4/connect")).words


async def test_not_for_those_who_only_operate():
    rows = three()
    rows[1]["may"] = ["see", "operate"]
    async with browse(FakeAccess(rows, role="member")) as client:
        await page(client, "/machines/packer/connect", 403)


def test_commands_end_with_running_the_agent():
    assert commands({"key": "k", "command": "panelgate agent enrol --key k"})[-1] == "panelgate agent run"
    assert commands({"key": "k"})[0] == "panelgate agent enrol --key k"


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("https://127.0.0.1:8441", True), ("https://localhost", True), ("https://[::1]:8441", True),
        ("https://access.example.com:8441", False), ("https://localhost.example.com", False),
    ],
)  # fmt: skip
def test_an_address_of_this_computer_only_is_noticed(address, here):
    assert here_only({"key": "k", "command": f"panelgate agent enrol --key k --access {address}"}) is here
