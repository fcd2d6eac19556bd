import asyncio
import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import tls
from agent.dial import Advice, DialFailed, certificate_text, dial, of_errno, tls_context
from agent.targets import Service
from panelgate.frames import StreamError
from panelgate.joining import Held
from panelgate.pki import Authority, Identity, Role
from tests.fakes.tunnel import eventually

HOST = "127.0.0.1"


def service(port: int, protocol: str = "http", verify: str = "none", pin: str | None = None) -> Service:
    return Service("s", "s", "S", HOST, port, protocol, verify, pin)  # type: ignore[arg-type]


class Greeter(asyncio.Protocol):
    """Speaks first, as VNC servers do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"RFB 003.008\n")


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Greeter, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def panel(tmp_path: Path) -> Identity:
    Authority.create().new_identity(Role.RELAY, "panel", names=[HOST]).save(tmp_path)
    return Identity.load(tmp_path)


class Reader(asyncio.Protocol):
    def __init__(self) -> None:
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.got.done():
            self.got.set_result(data)


async def test_a_greeting_waits_until_somebody_reads() -> None:
    async with listening() as port:
        transport = await dial(service(port))
        assert isinstance(transport.get_protocol(), Held)
        reader = Reader()
        transport.set_protocol(reader)
        transport.resume_reading()
        assert await asyncio.wait_for(reader.got, 5) == b"RFB 003.008\n"
        transport.abort()


async def test_a_closed_port() -> None:
    async with listening() as port:
        pass
    with pytest.raises(DialFailed) as failed:
        await dial(service(port))
    assert (failed.value.code, failed.value.text) == (StreamError.CONNECTION_REFUSED, "ECONNREFUSED")


async def test_a_host_that_says_nothing() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        # It accepts and never begins TLS.
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https"), timeout=0.05)
    assert (failed.value.code, failed.value.text) == (StreamError.TIMEOUT, "handshake")


async def test_plain_text_where_tls_is_expected() -> None:
    async with listening() as port:
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https"))
    assert failed.value.code == StreamError.TLS
    assert failed.value.text == tls.PLAIN_TEXT


async def test_verify_none_takes_any_certificate(panel: Identity) -> None:
    async with listening(panel.server_context()) as port:
        (await dial(service(port, "https"))).abort()


async def test_the_right_pin(panel: Identity) -> None:
    async with listening(panel.server_context()) as port:
        (await dial(service(port, "https", "pin", panel.fingerprint))).abort()


@pytest.mark.parametrize("pin", ["00" * 32, None])
async def test_a_wrong_pin_names_the_certificate(panel: Identity, pin: str | None) -> None:
    async with listening(panel.server_context()) as port:
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https", "pin", pin))
    assert failed.value.code == StreamError.TLS
    assert failed.value.text == certificate_text(panel.fingerprint)


@pytest.mark.parametrize("part", [slice(0, 32), slice(32, 64), slice(0, 63)])
async def test_all_of_a_pin_is_compared(panel: Identity, part: slice) -> None:
    """Half a SHA-256 can be met by who tries for long enough."""
    right, other = panel.fingerprint, "".join("0" if digit != "0" else "1" for digit in panel.fingerprint)
    pin = "".join(right[at] if at in range(64)[part] else other[at] for at in range(64))
    async with listening(panel.server_context()) as port:
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https", "pin", pin))
    assert failed.value.text == certificate_text(right)


async def test_a_certificate_that_no_authority_vouches_for_is_named(panel: Identity) -> None:
    async with listening(panel.server_context()) as port:
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https", "ca"))
    assert failed.value.code == StreamError.TLS
    assert failed.value.text.startswith(certificate_text(panel.fingerprint))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ECONNREFUSED, StreamError.CONNECTION_REFUSED),
        (errno.EHOSTUNREACH, StreamError.UNREACHABLE),
        (errno.ETIMEDOUT, StreamError.TIMEOUT),
        (errno.ECONNRESET, StreamError.PEER_RESET),
        (errno.EMFILE, StreamError.LIMIT),
        (errno.EIO, StreamError.UNREACHABLE),
        (None, StreamError.UNREACHABLE),
    ],
)
def test_errors_have_codes(number: int | None, code: StreamError) -> None:
    assert of_errno(number) == code


def test_certificate_spelling() -> None:
    assert certificate_text("ab12") == "certificate sha256 AB:12"
    assert certificate_text("") == "certificate none"


class Listener(asyncio.Protocol):
    """Counts connections and remembers every byte that came through TLS."""

    def __init__(self, heard: bytearray, connections: list[int]) -> None:
        self.heard = heard
        connections.append(1)

    def data_received(self, data: bytes) -> None:
        self.heard += data


@pytest.mark.parametrize("pin", ["00" * 32, None])
async def test_nothing_is_sent_before_the_pin_is_checked(panel: Identity, pin: str | None) -> None:
    heard, connections = bytearray(), list[int]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Listener(heard, connections), HOST, 0, ssl=panel.server_context())
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DialFailed):
            await dial(service(port, "https", "pin", pin))
        # A dial with the right pin, and its bytes, come after whatever the first could have sent.
        transport = await dial(service(port, "https", "pin", panel.fingerprint))
        transport.write(b"request")
        await eventually(lambda: heard)
        assert heard == b"request"
        assert len(connections) == 2
        transport.abort()


@pytest.mark.parametrize(("host", "named"), [(HOST, None), ("localhost", "localhost")])
async def test_only_a_name_goes_into_sni(panel: Identity, host: str, named: str | None) -> None:
    asked: list[str | None] = []
    context = panel.server_context()
    context.sni_callback = lambda connection, name, context: asked.append(name)  # type: ignore[assignment]
    async with listening(context) as port:
        (await dial(Service("s", "s", "S", host, port, "https"))).abort()
    assert asked == [named]


async def test_a_device_that_hangs_up_on_the_greeting() -> None:
    class Old(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_server(Old, HOST, 0)
    async with server:
        with pytest.raises(DialFailed) as failed:
            await dial(service(server.sockets[0].getsockname()[1], "https"))
    assert failed.value.code == StreamError.TLS
    assert failed.value.text == "the device closed the connection during the handshake"


async def test_a_device_that_answers_with_an_older_version() -> None:
    """What panels of before TLS 1.2 do, and OpenSSL's server never: they choose 1.0 without having been offered it."""

    class Old(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            hello = bytes.fromhex("0301") + bytes(32) + b"\0" + bytes.fromhex("002f") + b"\0"
            message = b"\x02" + len(hello).to_bytes(3, "big") + hello
            transport.write(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_server(Old, HOST, 0)
    async with server:
        with pytest.raises(DialFailed) as failed:
            await dial(replace(service(server.sockets[0].getsockname()[1], "https"), profile="compat"), timeout=5)
    assert failed.value.code == StreamError.TLS
    assert failed.value.text == "the device speaks no version of TLS that the agent can speak"


@pytest.mark.parametrize(("seconds", "connections"), [(60.0, 3 + 4), (0.0, 5 * 3)])
async def test_a_device_that_fails_is_not_looked_at_for_each_connection(seconds: float, connections: int) -> None:
    made = 0

    class Old(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal made
            made += 1
            transport.close()  # type: ignore[attr-defined]

    advice = Advice(seconds)
    server = await asyncio.get_running_loop().create_server(Old, HOST, 0)
    async with server:
        wanted = service(server.sockets[0].getsockname()[1], "https")
        for _ in range(5):
            with pytest.raises(DialFailed, match="closed the connection during the handshake"):
                await dial(wanted, advice=advice)
    assert made == connections


def test_plain_http_has_no_context() -> None:
    assert tls_context(service(1)) is None
    assert tls_context(service(1, "https")) is not None
