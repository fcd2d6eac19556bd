import asyncio
import gc
import json
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from panelgate import assertion
from panelgate.access_client import BACKGROUND_HEADER, EVENT_LIMIT, SESSION_HEADER, AccessClient
from panelgate.errors import Broken, PanelgateError, Refused, Unavailable
from panelgate.log import Secret
from panelgate.pki import Authority, Identity, Role, make_csr, make_key

AUTHORITY = Authority.create()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return AUTHORITY.new_identity(Role.RELAY, "r1").save(tmp_path / "relay")


def client(answer: Callable[[httpx.Request], httpx.Response], identity: Identity | None = None) -> AccessClient:
    return AccessClient("https://access.example", identity, transport=httpx.MockTransport(answer))


async def test_a_call_carries_a_proof_for_just_this_call(identity: Identity) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        peer = assertion.verify(
            request.headers[assertion.HEADER], AUTHORITY.certificate, request.method, request.url.path,
            time.time(), assertion.SeenOnce(),
        )  # fmt: skip
        return httpx.Response(
            200, json={"id": peer.id, "session": request.headers[SESSION_HEADER], "q": request.url.params["q"]}
        )

    async with client(answer, identity) as access:
        body = await access.call("GET", "/relay/v1/x", params={"q": "ä b"}, session=Secret("token"))
    assert body == {"id": "r1", "session": "token", "q": "ä b"}


async def test_a_call_in_the_background_says_so() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(BACKGROUND_HEADER))
        return httpx.Response(200, json={})

    async with client(answer) as access:
        await access.call("GET", "/v1/x")
        await access.call("GET", "/v1/x", background=True)
    assert seen == [None, "1"]


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (httpx.Response(403, json=Refused("not_allowed").as_json()), Refused, "not_allowed"),
        (
            httpx.Response(409, json=Unavailable("device_offline", facts={"since": 1}).as_json()),
            Unavailable,
            "device_offline",
        ),
        (httpx.Response(500, json=Broken("bug").as_json()), Broken, "bug"),
        (httpx.Response(502, text="<html>Bad gateway"), Unavailable, "bad_answer"),
        (httpx.Response(200, text="<html>hello"), Unavailable, "bad_answer"),
        (httpx.Response(200, json=[1]), Unavailable, "bad_answer"),
        (httpx.Response(302, headers={"location": "https://evil.example/"}), Unavailable, "bad_answer"),
    ],
)
async def test_answers_that_are_errors(response: httpx.Response, kind: type[PanelgateError], code: str) -> None:
    async with client(lambda _: response) as access:
        with pytest.raises(kind) as caught:
            await access.call("POST", "/v1/x", json={})
    assert caught.value.code == code


async def test_an_empty_answer_is_an_empty_object() -> None:
    async with client(lambda _: httpx.Response(204)) as access:
        assert await access.call("POST", "/v1/x") == {}


async def test_a_server_that_is_not_there_is_named() -> None:
    async with AccessClient("https://127.0.0.1:1") as access:
        with pytest.raises(Unavailable) as caught:
            await access.call("GET", "/v1/health")
    assert (caught.value.code, caught.value.facts["address"]) == ("access_down", "https://127.0.0.1:1")


def test_plain_http_is_refused() -> None:
    with pytest.raises(Refused, match="https"):
        AccessClient("http://access.example")


@pytest.fixture
async def tls_server(tmp_path: Path) -> AsyncIterator[Callable[[ssl.SSLContext], Awaitable[str]]]:
    servers: list[asyncio.Server] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def start(context: ssl.SSLContext) -> str:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_the_installations_own_authority_is_trusted_and_no_other(
    tls_server: Callable[[ssl.SSLContext], Awaitable[str]], tmp_path: Path
) -> None:
    own = AUTHORITY.new_identity(Role.ACCESS, "access", names=["127.0.0.1"]).save(tmp_path / "own")
    foreign = Authority.create().new_identity(Role.ACCESS, "access", names=["127.0.0.1"]).save(tmp_path / "foreign")
    other_name = AUTHORITY.new_identity(Role.ACCESS, "access", names=["10.0.0.1"]).save(tmp_path / "name")
    async with AccessClient(await tls_server(own.server_context()), ca=AUTHORITY.certificate) as access:
        assert await access.call("GET", "/v1/health") == {}
        assert await access.text("/v1/ca") == "{}"
    for untrusted in (foreign, other_name):
        async with AccessClient(await tls_server(untrusted.server_context()), ca=AUTHORITY.certificate) as access:
            with pytest.raises(Unavailable) as caught:
                await access.call("GET", "/v1/health")
        assert caught.value.code == "access_untrusted"


async def test_a_relay_with_the_access_servers_name_is_not_the_access_server(
    tls_server: Callable[[ssl.SSLContext], Awaitable[str]], tmp_path: Path
) -> None:
    # A relay's certificate carries the host names that the relay asks for.
    for role in (Role.RELAY, Role.WEBPROXY, Role.AGENT):
        other = AUTHORITY.new_identity(role, "x", names=["127.0.0.1"]).save(tmp_path / role)
        async with AccessClient(await tls_server(other.server_context()), ca=AUTHORITY.certificate) as access:
            with pytest.raises(Unavailable) as caught:
                await access.call("POST", "/agent/v1/enrol", json={"key": "secret"})
        assert caught.value.code == "access_untrusted"
        assert caught.value.facts["reason"] == "it is another role's certificate"


async def test_an_expired_certificate_is_not_trusted(
    tls_server: Callable[[ssl.SSLContext], Awaitable[str]], tmp_path: Path
) -> None:
    key = make_key()
    old = AUTHORITY.issue(make_csr(key), Role.ACCESS, "access", names=["127.0.0.1"], now=time.time() - 100 * 86400)
    identity = Identity(Role.ACCESS, "access", key, old, AUTHORITY.certificate).save(tmp_path / "old")
    async with AccessClient(await tls_server(identity.server_context()), ca=AUTHORITY.certificate) as access:
        with pytest.raises(Unavailable) as caught:
            await access.call("GET", "/v1/health")
    assert (caught.value.code, caught.value.facts["reason"]) == ("access_untrusted", "certificate has expired")


async def lines(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_events_are_lines_however_they_arrive() -> None:
    chunks = (b'{"type":"pi', b'ng"}\n\nrubbish\n{"type":', b'"device.cut"}\n{"half')
    async with client(lambda _: httpx.Response(200, content=lines(*chunks))) as access:
        assert [event["type"] async for event in access.events("/relay/v1/events")] == ["ping", "device.cut"]


async def test_a_refused_event_stream_says_why() -> None:
    async with client(lambda _: httpx.Response(401, content=json.dumps(Refused("revoked").as_json()))) as access:
        with pytest.raises(Refused) as caught:
            _ = [event async for event in access.events("/relay/v1/events")]
    assert caught.value.code == "revoked"


async def test_an_endless_event_is_cut() -> None:
    async with client(lambda _: httpx.Response(200, content=lines(b"x" * (EVENT_LIMIT + 1)))) as access:
        with pytest.raises(Unavailable):
            _ = [event async for event in access.events("/relay/v1/events")]


async def test_a_call_given_up_at_any_moment_leaves_no_connection_open(
    tls_server: Callable[[ssl.SSLContext], Awaitable[str]], tmp_path: Path
) -> None:
    own = AUTHORITY.new_identity(Role.ACCESS, "access", names=["127.0.0.1"]).save(tmp_path / "own")
    address = await tls_server(own.server_context())
    given_up = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turns in range(200):
            async with AccessClient(address, ca=AUTHORITY.certificate) as access:
                call = asyncio.get_running_loop().create_task(access.call("GET", "/v1/health"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
            if not call.cancelled():
                break
            given_up += 1
        gc.collect()
    assert 5 < given_up < 199, "every step of a call was met, and the last call came through"
    assert [str(warning.message) for warning in caught] == []
