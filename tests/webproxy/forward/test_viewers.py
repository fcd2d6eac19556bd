from __future__ import annotations

from tests.fakes.front import running
from webproxy.forward.viewers import accept_key

VNC = {"protocol": "vnc", "port": 5900}


def test_the_accept_key_of_rfc_6455() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert accept_key(b"short") is None
    assert accept_key(b"c2hvcnQ=") is None


async def test_a_vnc_service_shows_our_viewer_and_nothing_else() -> None:
    async with running(session=VNC) as front:
        answer = await front.ask(front.head(Accept="text/html"))
        assert answer.status == 200
        assert b"<html" in answer.body
        assert "default-src 'none'" in (answer.value("content-security-policy") or "")
        assert (await front.ask(front.head(target="/other"))).status == 404
        assert front.device.connections == 0


async def test_the_socket_is_answered_and_handed_over() -> None:
    async with running(session=VNC) as front:
        raw = await front.connect()
        headers = {
            "Upgrade": "websocket", "Connection": "Upgrade", "Origin": front.origin,
            "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13",
        }  # fmt: skip
        answer = await raw.ask(front.head(target="/.pg/vnc", **headers))
        assert answer.status == 101
        assert answer.value("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert (await raw.reader.readexactly(2))[0] == 0x82
        raw.close()


async def test_the_socket_needs_session_and_origin() -> None:
    async with running(session=VNC) as front:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        assert (await front.ask(front.head(target="/.pg/vnc", **headers))).status == 403
        headers["Origin"] = front.origin
        assert (await front.ask(front.head(target="/.pg/vnc", token=None, **headers))).status == 401
        assert (await front.ask(front.head(target="/.pg/vnc", token="x", **headers))).status == 401
        headers["Sec_WebSocket_Key"] = "bad"
        assert (await front.ask(front.head(target="/.pg/vnc", **headers))).status == 400
    async with running() as front:
        headers |= {"Origin": front.origin, "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        assert (await front.ask(front.head(target="/.pg/vnc", **headers))).status == 404
