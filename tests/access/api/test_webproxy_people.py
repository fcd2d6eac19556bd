"""What the web proxy asks about people, over HTTP with real assertions."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest

from access import sessions, setup
from access.events import Hub
from access.models.people import User
from access.throttle import Throttle
from panelgate.clock import FakeClock
from tests.fakes.access_world import CLIENT, PASSWORD, Api, full_session, make_account

V1 = "/webproxy/v1"
NEWCOMER = {
    "account": "acme", "account_name": "Acme", "user": "anna", "display_name": "Anna", "password": PASSWORD,
    "client": CLIENT,
}  # fmt: skip
SIGN_IN = {"account": "acme", "user": "anna", "password": PASSWORD, "client": CLIENT}


async def test_from_the_set_up_code_to_the_second_visit(api: Api, clock: FakeClock) -> None:
    assert await api.get(f"{V1}/setup") == {"needed": True, "signup": False}
    code = setup.new_code(api.kernel)
    assert await api.refused("POST", f"{V1}/setup", NEWCOMER | {"code": "nope"}) == (403, "wrong_setup_code")
    started = await api.post(f"{V1}/setup", NEWCOMER | {"code": code})
    assert started["stage"] == "enrol"
    assert (await api.get(f"{V1}/setup"))["needed"] is False

    token = started["session_token"]
    assert await api.refused("GET", f"{V1}/me", session=token) == (401, "wrong_stage")
    secret = (await api.post(f"{V1}/factor/begin", session=token))["secret"]
    totp = pyotp.TOTP(secret)
    assert await api.refused("POST", f"{V1}/factor/confirm", {"code": "000000"}, session=token) == (401, "wrong_code")
    confirmed = await api.post(f"{V1}/factor/confirm", {"code": totp.at(int(clock.now()))}, session=token)
    assert (confirmed["stage"], len(confirmed["recovery_codes"])) == ("full", 10)
    assert await api.refused("GET", f"{V1}/session", session=token) == (401, "no_session")

    shown = await api.get(f"{V1}/session", session=confirmed["session_token"])
    assert shown | {"session_id": "", "user": shown["user"] | {"id": ""}, "account": shown["account"] | {"id": ""}} == {
        "session_id": "", "stage": "full", "account": {"id": "", "slug": "acme", "name": "Acme"},
        "user": {"id": "", "name": "anna", "display_name": "Anna", "role": "administrator"},
        "created": "2027-01-15T08:00:00Z", "expires": "2027-01-16T08:00:00Z", "idle_seconds": 28800,
    }  # fmt: skip
    assert await api.post(f"{V1}/sign-out", session=confirmed["session_token"]) == {}
    assert await api.refused("GET", f"{V1}/session", session=confirmed["session_token"]) == (401, "no_session")

    clock.advance(30)
    again = await api.post(f"{V1}/sign-in", SIGN_IN)
    assert again["stage"] == "factor"
    wrong = await api.refused("POST", f"{V1}/sign-in/totp", {"code": "000000"}, session=again["session_token"])
    assert wrong == (401, "wrong_code")
    full = await api.post(f"{V1}/sign-in/totp", {"code": totp.at(int(clock.now()))}, session=again["session_token"])
    assert full["stage"] == "full"
    half = await api.post(f"{V1}/sign-in", SIGN_IN)
    body = {"code": confirmed["recovery_codes"][0]}
    recovered = await api.post(f"{V1}/sign-in/recovery", body, session=half["session_token"])
    assert (recovered["stage"], recovered["left"]) == ("full", 9)


async def test_signing_up(api: Api) -> None:
    make_account(api.kernel, "first")
    assert await api.refused("POST", f"{V1}/sign-up", NEWCOMER) == (403, "signup_off")
    api.kernel.settings.signup = True
    assert (await api.post(f"{V1}/sign-up", NEWCOMER))["stage"] == "enrol"
    assert await api.refused("POST", f"{V1}/sign-up", NEWCOMER) == (409, "account_taken")


async def test_wrong_and_locked(api: Api) -> None:
    make_account(api.kernel, "acme")
    for _ in range(9):
        assert await api.refused("POST", f"{V1}/sign-in", SIGN_IN | {"password": "x"}) == (401, "wrong_credentials")
    for password in ("x", PASSWORD):
        answer = await api.call("POST", f"{V1}/sign-in", SIGN_IN | {"password": password})
        assert answer.status_code == 429
        assert answer.json()["error"]["facts"] == {"until": "2027-01-15T08:15:00Z"}


async def test_the_own_page(api: Api) -> None:
    anna = make_account(api.kernel, "acme")
    token, other = full_session(api.kernel, *anna), full_session(api.kernel, *anna)
    me = await api.get(f"{V1}/me", session=token)
    assert (me["recovery_codes_left"], me["totp_since"], me["user"]["name"]) == (0, None, "anna")
    assert sorted(row["current"] for row in me["sessions"]) == [False, True]
    rest = next(row["id"] for row in me["sessions"] if not row["current"])
    assert await api.post(f"{V1}/me/sessions/{rest}/revoke", session=token) == {}
    assert await api.refused("GET", f"{V1}/me", session=other) == (401, "no_session")
    assert await api.refused("POST", f"{V1}/me/sessions/{'0' * 32}/revoke", session=token) == (404, "not_found")
    codes = await api.post(f"{V1}/me/recovery-codes", {"password": PASSWORD}, session=token)
    assert len(codes["recovery_codes"]) == 10
    weak = {"current": PASSWORD, "new": "short"}
    assert await api.refused("POST", f"{V1}/me/password", weak, session=token) == (400, "weak_password")
    good = {"current": PASSWORD, "new": "another horse"}
    assert await api.post(f"{V1}/me/password", good, session=token) == {}
    assert await api.refused("POST", f"{V1}/me/password", good, session=token) == (401, "wrong_credentials")


async def test_a_session_of_somebody_else_can_not_be_revoked(api: Api) -> None:
    anna, zoe = make_account(api.kernel, "acme"), make_account(api.kernel, "zeta", "zoe")
    token, foreign = full_session(api.kernel, *anna), full_session(api.kernel, *zoe)
    foreign_id = (await api.get(f"{V1}/session", session=foreign))["session_id"]
    assert await api.refused("POST", f"{V1}/me/sessions/{foreign_id}/revoke", session=token) == (404, "not_found")
    await api.get(f"{V1}/me", session=foreign)


async def test_stages_are_kept_apart(api: Api, clock: FakeClock) -> None:
    make_account(api.kernel, "acme")
    enrol = (await api.post(f"{V1}/sign-in", SIGN_IN))["session_token"]
    for path in ("sign-in/totp", "sign-in/recovery"):
        assert await api.refused("POST", f"{V1}/{path}", {"code": "000000"}, session=enrol) == (401, "wrong_stage")
    totp = pyotp.TOTP((await api.post(f"{V1}/factor/begin", session=enrol))["secret"])
    await api.post(f"{V1}/factor/confirm", {"code": totp.at(int(clock.now()))}, session=enrol)
    half = (await api.post(f"{V1}/sign-in", SIGN_IN))["session_token"]
    for path in ("factor/begin", "factor/confirm", "me/password", "me/recovery-codes"):
        assert (await api.refused("POST", f"{V1}/{path}", {"code": "000000"}, session=half))[1] == "wrong_stage"


async def test_a_page_that_refreshes_itself_keeps_nobody_signed_in(api: Api, clock: FakeClock) -> None:
    token = full_session(api.kernel, *make_account(api.kernel, "acme"))
    for _ in range(4):
        clock.advance(2 * 3600 - 1)
        answer = await api.call("GET", f"{V1}/me", session=token, headers={"Panelgate-Background": "1"})
        assert answer.status_code == 200
    clock.advance(4)
    assert await api.refused("GET", f"{V1}/me", session=token) == (401, "no_session")


@pytest.mark.parametrize("body", [{}, {"account": "a"}, SIGN_IN | {"more": 1}, SIGN_IN | {"user": "x" * 201}, [], "x"])
async def test_odd_bodies_are_refused_without_repeating_them(api: Api, body: Any) -> None:
    answer = await api.call("POST", f"{V1}/sign-in", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_input")
    assert PASSWORD not in answer.text


async def test_the_event_stream(api: Api) -> None:
    # ASGITransport collects a whole answer: the hub ends the stream after its first line here.
    class Short(Hub):
        async def ndjson(self, stream: str, *, ping_seconds: float = 0.0) -> Any:
            assert stream == "webproxy"
            yield b'{"type": "ping"}\n'

    api.kernel.hub = Short()
    answer = await api.call("GET", f"{V1}/events")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.json() == {"type": "ping"}


async def test_a_flood_from_one_address_is_stopped_before_it_costs_anything(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_account(api.kernel, "acme")
    monkeypatch.setattr(api.kernel, "throttle", Throttle(2))
    hashed: list[str] = []
    verify = api.kernel.hasher.verify
    monkeypatch.setattr(api.kernel.hasher, "verify", lambda *given: hashed.append(given[1]) or verify(*given))
    wrong = SIGN_IN | {"user": "nobody", "password": "wrong password"}
    said = [await api.refused("POST", f"{V1}/sign-in", wrong) for _ in range(3)]
    assert said == [(401, "wrong_credentials")] * 2 + [(429, "too_many_calls")]
    assert len(hashed) == 2
    elsewhere = wrong | {"client": CLIENT | {"address": "198.51.100.77"}}
    assert await api.refused("POST", f"{V1}/sign-in", elsewhere) == (401, "wrong_credentials")

    setups = [await api.refused("POST", f"{V1}/setup", NEWCOMER | {"code": "nope"}) for _ in range(3)]
    assert setups == [(403, "wrong_setup_code")] * 2 + [(429, "too_many_calls")]


@pytest.mark.parametrize("step", ["totp", "recovery"])
async def test_guessed_codes_are_limited_by_address_too(api: Api, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    account, user_id = make_account(api.kernel, "acme")
    with api.kernel.store.account(account, write=True) as unit:
        _, half = sessions.begin(unit, unit.need(User, user_id), "factor", sessions.Client("198.51.100.4", ""))
    monkeypatch.setattr(api.kernel, "throttle", Throttle(1))
    body = {"code": "000000"}
    path = f"{V1}/sign-in/{step}"
    assert await api.refused("POST", path, body, session=half) == (401, "wrong_code")
    assert await api.refused("POST", path, body, session=half) == (429, "too_many_calls")
