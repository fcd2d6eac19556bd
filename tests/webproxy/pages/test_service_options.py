"""The advanced part of a panel's form: every option can be set, comes back as it was, and is wrong at its own field."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from panelgate.errors import BadInput
from panelgate.options import ServiceOptions
from tests.fakes.portal_access import FakeAccess, FakeWeb
from tests.fakes.portal_browser import browse, moved, page
from webproxy.pages.forms import Problems
from webproxy.pages.service_options import ADVANCED, chosen, fields_of, others, read

CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
EVERYTHING = ServiceOptions(
    host="hmi.local", forwarded=True, service_workers=True, rewrite=True, companions=("hmi", "files"),
    headers=(("X-One", "1"), ("Content-Security-Policy", "default-src 'self'; img-src *")), auth="digest", user="op",
    compress="all", cache=False, tls_profile="legacy", tls_ca=CA,
)  # fmt: skip
HERE = "/machines/press-4/services/press-4-drives"
GOOD = {
    "name": "Drives", "protocol": "https", "host": "192.168.0.31", "port": "443", "visible": "yes", "tls_verify": "ca",
    "option_cache": "yes",
}  # fmt: skip


def sent(options: ServiceOptions) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The form as a browser sends it when it shows these options."""
    shown = fields_of(options.as_json())
    form = {f"option_{name}": "yes" for name, value in shown.items() if value is True}
    form |= {f"option_{name}": value for name, value in shown.items() if isinstance(value, str)}
    return form, {"option_companions": shown["companions"]}


@pytest.mark.parametrize("options", [EVERYTHING, ServiceOptions(), ServiceOptions(auth="basic", user="x")])
def test_what_the_form_shows_comes_back_whole(options: ServiceOptions) -> None:
    problems = Problems()
    typed, body = read(*sent(options), problems)
    assert not problems
    assert ServiceOptions.of(body) == options
    assert typed == fields_of(options.as_json())


def test_every_option_is_in_the_form() -> None:
    assert set(fields_of(None)) == {field.name for field in fields(ServiceOptions)}
    assert set(fields_of(None)) == {*ADVANCED, "tls_ca"}


async def test_the_page_has_a_labelled_field_for_each() -> None:
    web = FakeWeb()
    (drives,) = [one for device in web.access.devices for one in device["services"] if one["slug"] == "drives"]
    drives["options"] = EVERYTHING.as_json()
    async with browse(web=web) as client:
        shown = await page(client, HERE)
    assert shown.unlabelled() == []
    named = {attrs.get("name", "") for tag in ("input", "select", "textarea") for attrs in shown.all(tag)}
    assert {f"option_{name}" for name in fields_of(None)} <= named
    (details,) = shown.all("details", **{"data-for": "http https"})
    assert "open" not in details
    assert "11 set" in shown.words


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"option_host": "a b"}, "option_host", "A host is a name"),
        ({"option_headers": "nonsense"}, "option_headers", "a colon and a value"),
        ({"option_headers": "Set-Cookie: a=b"}, "option_headers", "can't be added"),
        ({"option_auth": "basic"}, "option_user", "user name"),
        ({"option_auth": "basic", "option_user": "a:b"}, "option_user", "colon"),
        ({"option_auth": "magic"}, "option_auth", "Choose one of"),
        ({"option_compress": "zip"}, "option_compress", "Choose one of"),
        ({"option_tls_profile": "ssl2"}, "option_tls_profile", "Choose one of"),
        ({"option_companions": "A B"}, "option_companions", "short names"),
        ({"option_tls_ca": "no pem"}, "option_tls_ca", "PEM"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(wrong: dict[str, str], field: str, said: str) -> None:
    access = FakeAccess()
    async with browse(access) as client:
        shown = await page(client, HERE, 422, **(GOOD | wrong))
    assert said in shown.words
    assert "PATCH" not in {method for method, _, _ in access.calls}
    (details,) = shown.all("details", **{"data-for": "http https"})
    assert ("open" in details) == (field != "option_tls_ca")  # nothing wrong stays behind a closed door
    marked = [attrs for tag in ("input", "select", "textarea") for attrs in shown.all(tag, name=field)]
    assert field in {"option_auth", "option_companions"} or marked[0].get("aria-invalid") == "true"


async def test_what_access_says_of_an_option_is_at_its_field_too() -> None:
    class Strict(FakeAccess):
        def admin_patch(self, *_: Any) -> dict[str, Any]:
            raise BadInput("bad_option", "“hmi” is no other web page of this machine.", {"option": "companions"})

    async with browse(Strict()) as client:
        shown = await page(client, HERE, 422, **(GOOD | {"option_companions": "hmi"}))
    assert "no other web page" in shown.words
    (ticked,) = shown.all("input", name="option_companions", value="hmi")
    assert "checked" in ticked


async def test_companions_are_the_other_web_pages_of_the_machine() -> None:
    async with browse() as client:
        shown = await page(client, HERE)
        offered = [attrs["value"] for attrs in shown.all("input", name="option_companions")]
    assert offered == ["hmi"]  # not itself, no screens, nothing of the agent's own
    device = {"services": [{"id": "a", "protocol": "http"}, {"id": "b", "protocol": "vnc"}]}
    assert [one["id"] for one in others(device, None)] == ["a"]


async def test_options_travel_whole_and_only_for_web_pages() -> None:
    access = FakeAccess()
    form, lists = sent(EVERYTHING)
    async with browse(access) as client:
        await moved(client, HERE, **(GOOD | {"option_cache": ""} | form | lists))
        assert ServiceOptions.of(access.calls[-1][2]["options"]) == EVERYTHING
        await moved(client, HERE, **(GOOD | form | {"protocol": "vnc", "password": "panel", "web_password": "web"}))
        assert (access.calls[-1][2]["options"], access.calls[-1][2]["password"]) == ({}, "panel")


async def test_the_password_of_a_sign_in_is_its_own_field() -> None:
    access = FakeAccess()
    form = GOOD | {"option_auth": "basic", "option_user": "op"}
    async with browse(access) as client:
        await moved(client, HERE, **form, web_password="s3", password="of a screen")
        assert access.calls[-1][2]["password"] == "s3"
        await moved(client, HERE, **form, forget_web_password="yes")
        assert access.calls[-1][2]["password"] == ""
        await moved(client, HERE, **form)
        assert "password" not in access.calls[-1][2]


def test_a_user_without_a_sign_in_is_not_kept() -> None:
    problems = Problems()
    _, body = read({"option_auth": "none", "option_user": "left over", "option_cache": "yes"}, {}, problems)
    assert (body, problems.found) == ({}, {})
    assert chosen(fields_of(None)) == 0
