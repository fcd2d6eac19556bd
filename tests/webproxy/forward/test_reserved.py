from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.fakes.front import Front, running

WINDOW = {
    "Sec_Fetch_Mode": "navigate",
    "Sec_Fetch_Dest": "document",
    "Accept": "text/html",
    "Sec_Fetch_Site": "cross-site",
}
CODE = "k" * 43


async def launched(front: Front, target: str = "/a?b=c") -> tuple[str, str, str]:
    """Cookie, state and nonce of a hand-off that has begun."""
    answer = await front.ask(front.head(target=target, token=None, **WINDOW | {"Sec_Fetch_Site": "none"}))
    assert answer.status == 303
    cookie = (answer.value("set-cookie") or "").split(";")[0]
    return cookie, (answer.value("location") or "").split("state=")[1], cookie.split("=", 1)[1].split(".")[0]


def callback(front: Front, cookie: str, state: str, code: str = CODE, **more: Any) -> bytes:
    return front.head(target=f"/.pg/cb?code={code}&state={state}", token=None, Cookie=cookie, **{**WINDOW, **more})


async def test_a_hand_off_from_end_to_end() -> None:
    async with running() as front:
        cookie, state, nonce = await launched(front)
        front.access.add_code(CODE, front.label, nonce, "tok")
        answer = await front.ask(callback(front, cookie, state))
        assert answer.status == 303
        assert answer.value("location") == "/a?b=c"
        assert answer.value("cache-control") == "private, no-store"
        cookies = "; ".join(value.split(";")[0] for value in answer.values("set-cookie") if "Max-Age=0" not in value)
        assert "__Host-pg=tok" in cookies
        landed = front.head(target="/a?b=c", token=None, Cookie=cookies, **WINDOW)
        assert (await front.ask(landed)).status == 200
        assert (await front.ask(callback(front, cookie, state))).status == 403


async def test_a_code_is_worth_nothing_elsewhere() -> None:
    async with running() as front:
        cookie, state, nonce = await launched(front)
        front.access.add_code(CODE, front.label, nonce, "tok")
        other, other_state, _ = await launched(front)
        assert (await front.ask(callback(front, "a=b", state))).status == 403
        assert front.access.count("handoff/redeem") == 0
        answer = await front.ask(callback(front, other, other_state))
        assert answer.status == 403
        assert "__Host-pg=" not in "".join(answer.values("set-cookie"))
        label = front.access.add_session("tok", service="cam")
        front.access.add_code("w" * 43, label, nonce, "tok")
        assert (await front.ask(callback(front, cookie, state, "w" * 43))).status == 403


async def test_status_for_waiting_pages() -> None:
    async with running() as front:
        assert (await front.ask(front.head(target="/.pg/status", token=None))).status == 401
        assert json.loads((await front.ask(front.head(target="/.pg/status"))).body)["device"]["status"] == "online"
        front.circuits[0].close()
        await asyncio.sleep(0.01)
        front.clock.advance(60)
        front.access.offline = {"since": "2026-01-31T12:00:00Z"}
        told = json.loads((await front.ask(front.head(target="/.pg/status"))).body)["device"]
        assert (told["status"], told["since"]) == ("offline", "2026-01-31T12:00:00Z")
        front.web.events.emit({"type": "device.status", "device_id": "id-press", "status": "offline", "since": "x"})
        calls = front.access.count("/circuits")
        assert json.loads((await front.ask(front.head(target="/.pg/status"))).body)["device"]["since"] == "x"
        assert front.access.count("/circuits") == calls


async def test_reset_and_sign_out() -> None:
    async with running() as front:
        reset = await front.ask(front.head(target="/.pg/reset", Sec_Fetch_Site="none"))
        assert reset.value("clear-site-data") == '"cache", "cookies", "storage"'
        assert (await front.ask(front.head())).status == 200
        out = await front.ask(front.head("POST", "/.pg/sign-out", Origin=front.origin, Content_Length="0"))
        assert out.value("location") == "/.pg/signed-out"
        assert not list(front.web.visits)
        assert front.access.count("service-session/end") == 1
        page = await front.ask(front.head(target="/.pg/signed-out", token=None, Accept="text/html"))
        assert page.value("clear-site-data") == '"cache", "storage"'
        assert (await front.ask(front.head("POST", "/.pg/sign-out", Content_Length="0"))).status == 403


async def test_a_sign_out_that_access_does_not_hear_is_said() -> None:
    async with running() as front:
        assert (await front.ask(front.head())).status == 200
        front.access.down = True
        out = await front.ask(front.head("POST", "/.pg/sign-out", Origin=front.origin, Content_Length="0"))
        assert out.status == 503
        assert "__Host-pg=; Max-Age=0" in (out.value("set-cookie") or "")
        assert not list(front.web.visits)
        assert (await front.ask(front.head())).status == 401


async def test_a_link_on_another_site_signs_nobody_out() -> None:
    async with running() as front:
        for path in ("/.pg/reset", "/.pg/signed-out"):
            for site in ("cross-site", "same-site"):
                answer = await front.ask(front.head(target=path, **WINDOW | {"Sec_Fetch_Site": site}))
                assert answer.status == 403
                assert not answer.values("set-cookie")
                assert answer.value("clear-site-data") is None


async def test_a_panels_page_can_not_end_the_sign_ins_of_all_others() -> None:
    """Clearing cookies clears those of the whole domain: only who types the address may."""
    async with running() as front:
        for mode in ("cors", "no-cors", "navigate"):
            headers = WINDOW | {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": mode}
            answer = await front.ask(front.head(target="/.pg/reset", **headers))
            assert answer.status == 403
            assert answer.value("clear-site-data") is None
        for where in (
            "/.pg/reset",
            "x/../.pg/reset",
            "\\.pg/reset",
            "/a/%2E./%2epg/reset",
            front.origin + "/.pg/reset",
        ):
            line = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n"
            front.device.answer = line.encode()
            answer = await front.ask(front.head(target="/", **WINDOW | {"Sec_Fetch_Site": "none"}))
            assert (answer.status, answer.value("location")) == (502, None), where


async def test_the_device_never_sees_reserved_paths() -> None:
    async with running() as front:
        for target in ("/.pg/", "/.pg/x", "/.pg/vnc", "/.pg/cb"):
            assert (await front.ask(front.head(target=target))).status in (403, 404)
        assert front.device.connections == 0
        answer = await front.ask(front.head(target="/.pg/static/css/x.css", token=None))
        assert answer.body == b"portal GET /.pg/static/css/x.css 0"
