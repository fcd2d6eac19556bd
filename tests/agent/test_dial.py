import asyncio
import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.dial import DialFailed, certificate_text, dial, of_errno, tls_context
from agent.targets import Service
from panelgate.frames import StreamError
from panelgate.joining import Held
from panelgate.pki import Authority, Identity, Role

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
    assert failed.value.code == StreamError.TIMEOUT


async def test_plain_text_where_tls_is_expected() -> None:
    async with listening() as port:
        with pytest.raises(DialFailed) as failed:
            await dial(service(port, "https"))
    assert failed.value.code == StreamError.TLS


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


def test_old_panels_are_reachable_only_without_an_authority() -> None:
    old, strict = tls_context(service(1, "https")), tls_context(service(1, "https", "ca"))
    assert old is not None
    assert strict is not None
    assert old.minimum_version < ssl.TLSVersion.TLSv1_2
    assert strict.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert strict.check_hostname
    assert tls_context(service(1)) is None
