"""Which profile reaches which device: the table, with devices of every age played by OpenSSL's own server."""

import asyncio
import ssl
from pathlib import Path

import pytest

from agent import tls
from agent.dial import DialFailed, certificate_text, dial
from agent.targets import Service
from panelgate.frames import StreamError
from panelgate.options import TlsProfile
from panelgate.stream import StreamReset
from tests.fakes.tls_panel import HOST, OwnAuthority, old_certificate, s_server
from webproxy.forward import problems

WEAK = "@SECLEVEL=0"
LEGACY_10 = "the device speaks only TLS 1.0: choose the legacy profile"
LEGACY_11 = "the device speaks only TLS 1.1: choose the legacy profile"
COMPAT_RSA = "the device offers only outdated encryption (AES128-SHA): choose the compat profile"
COMPAT_DHE = "the device offers only outdated encryption (DHE-RSA-AES128-SHA): choose the compat profile"
NO_WAY = "the device accepts no cipher of ours, or asks for a client certificate"


def panel(port: int, profile: TlsProfile = "modern", **options: object) -> Service:
    return Service("s", "s", "S", HOST, port, "https", profile=profile, **options)  # type: ignore[arg-type]


async def reach(service: Service) -> str:
    """The version of TLS that was agreed, or the reset's text."""
    try:
        transport = await dial(service)
    except DialFailed as failed:
        return failed.text if failed.code == StreamError.TLS else str(failed)
    version = transport.get_extra_info("ssl_object").version()
    transport.abort()
    return str(version)


@pytest.mark.parametrize(
    ("options", "modern", "compat", "legacy"),
    [
        (["-tls1", "-cipher", f"ALL:{WEAK}"], LEGACY_10, LEGACY_10, "TLSv1"),
        (["-tls1_1", "-cipher", f"ALL:{WEAK}"], LEGACY_11, LEGACY_11, "TLSv1.1"),
        (["-tls1_2", "-cipher", f"AES128-SHA:{WEAK}"], COMPAT_RSA, "TLSv1.2", "TLSv1.2"),
        (["-tls1_2", "-cipher", f"DHE-RSA-AES128-SHA:{WEAK}"], COMPAT_DHE, "TLSv1.2", "TLSv1.2"),
        (["-tls1_2", "-cipher", f"ALL:{WEAK}"], "TLSv1.2", "TLSv1.2", "TLSv1.2"),
        (["-tls1_3", "-cipher", f"ALL:{WEAK}"], "TLSv1.3", "TLSv1.3", "TLSv1.3"),
        (["-tls1_2", "-cipher", f"NULL-SHA:{WEAK}"], NO_WAY, NO_WAY, NO_WAY),
        (["-tls1_2", "-Verify", "1", "-verify_return_error", "-cipher", f"ALL:{WEAK}"], NO_WAY, NO_WAY, NO_WAY),
    ],
    ids=["tls1.0", "tls1.1", "static-rsa", "dhe-rsa", "tls1.2", "tls1.3", "no-encryption", "client-certificate"],
)
async def test_profiles_and_devices(tmp_path: Path, options: list[str], modern: str, compat: str, legacy: str) -> None:
    # 1024 bits and SHA-1 for the oldest; OpenSSL's TLS 1.3 has no signature that so small a key could make.
    certificate = await old_certificate(tmp_path, "rsa:2048" if "-tls1_3" in options else "rsa:1024")
    async with s_server(tmp_path, *certificate, *options) as port:
        assert await reach(panel(port, "legacy")) == legacy
        assert await reach(panel(port, "compat")) == compat
        assert await reach(panel(port, "modern")) == modern


async def test_a_request_through_tls_1_0(tmp_path: Path) -> None:
    certificate = await old_certificate(tmp_path)
    async with s_server(tmp_path, *certificate, "-tls1", "-cipher", f"ALL:{WEAK}") as port:
        transport = await dial(panel(port, "legacy"))
        reader = asyncio.StreamReader()
        transport.set_protocol(asyncio.StreamReaderProtocol(reader))
        transport.resume_reading()
        transport.write(b"GET / HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.0 200")
        transport.abort()


async def test_a_self_signed_ec_certificate(tmp_path: Path) -> None:
    certificate = OwnAuthority().issue(tmp_path)
    async with s_server(tmp_path, *certificate) as port:
        assert await reach(panel(port)) == "TLSv1.3"


# ---- a server without any certificate: nothing to verify is not the same as verified


@pytest.mark.parametrize("verify", ["ca", "pin"])
async def test_who_must_show_a_certificate_is_not_spoken_to_without(tmp_path: Path, verify: str) -> None:
    anonymous = ("-nocert", "-tls1_2", "-cipher", f"ADH:{WEAK}")
    async with s_server(tmp_path, *anonymous) as port:
        assert await reach(panel(port, "legacy")) == "TLSv1.2"
        text = await reach(panel(port, "legacy", verify=verify, ca=OwnAuthority().pem, pin="00" * 32))
        assert text == NO_WAY


# ---- own authorities


async def test_an_own_authority(tmp_path: Path) -> None:
    right, wrong = OwnAuthority(), OwnAuthority("Another")
    certificate = right.issue(tmp_path)
    async with s_server(tmp_path, *certificate) as port:
        assert await reach(panel(port, verify="ca", ca=right.pem)) == "TLSv1.3"
        named = certificate_text(right.last)
        assert (await reach(panel(port, verify="ca", ca=wrong.pem))).startswith(f"{named} unable to get local issuer")
        # The system's authorities don't know it, and the own one takes their place.
        assert (await reach(panel(port, verify="ca"))).startswith(f"{named} unable to get local issuer")


@pytest.mark.parametrize(("names", "common"), [(["127.0.0.2"], "panel"), (["panel.lan"], "panel"), ([], HOST)])
async def test_an_own_authoritys_certificate_must_name_the_address(
    tmp_path: Path, names: list[str], common: str
) -> None:
    authority = OwnAuthority()
    certificate = authority.issue(tmp_path, names, common=common)
    async with s_server(tmp_path, *certificate) as port:
        text = await reach(panel(port, verify="ca", ca=authority.pem))
    assert text.startswith(f"{certificate_text(authority.last)} IP address mismatch")


async def test_an_expired_certificate(tmp_path: Path) -> None:
    authority = OwnAuthority()
    certificate = authority.issue(tmp_path, expired=True)
    async with s_server(tmp_path, *certificate) as port:
        text = await reach(panel(port, verify="ca", ca=authority.pem))
        assert text == f"{certificate_text(authority.last)} certificate has expired"
        # A pin names one certificate; when it was to end doesn't matter.
        assert await reach(panel(port, verify="pin", pin=authority.last)) == "TLSv1.3"


async def test_a_devices_own_certificate_may_stand_as_its_authority(tmp_path: Path) -> None:
    authority = OwnAuthority()
    certificate = authority.issue(tmp_path)
    leaf = (tmp_path / "own.crt").read_text()
    async with s_server(tmp_path, *certificate) as port:
        assert await reach(panel(port, verify="ca", ca=leaf)) == "TLSv1.3"


async def test_an_authority_that_cannot_be_read_connects_nowhere(tmp_path: Path) -> None:
    certificate = OwnAuthority().issue(tmp_path)
    broken = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----"
    async with s_server(tmp_path, *certificate) as port:
        for text in (broken, "-----BEGIN CERTIFICATE-----", "ü"):
            assert "paste it again" in await reach(panel(port, verify="ca", ca=text))


# ---- no I/O


def test_profiles_widen_what_is_accepted() -> None:
    python = ssl.create_default_context()
    ciphers = {
        profile: {str(cipher["name"]) for cipher in tls.context_of("ca", profile, "").get_ciphers()}
        for profile in ("modern", "compat", "legacy")
    }
    assert ciphers["modern"] == {str(cipher["name"]) for cipher in python.get_ciphers()}
    assert ciphers["modern"] < ciphers["compat"] < ciphers["legacy"]
    assert tls.context_of("ca", "compat", "").minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.context_of("ca", "legacy", "").minimum_version < ssl.TLSVersion.TLSv1_2


def test_a_weak_profile_does_not_weaken_the_verification() -> None:
    for profile in ("modern", "compat", "legacy"):
        context = tls.context_of("ca", profile, "")
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert tls.context_of("none", profile, "").verify_mode == ssl.CERT_NONE


def test_contexts_are_made_once() -> None:
    assert tls.context_of("ca", "modern", "") is tls.context_of("ca", "modern", "")


@pytest.mark.parametrize(
    ("text", "happened", "todo"),
    [
        (LEGACY_10, "the device speaks only TLS 1.0.", "Choose the legacy profile."),
        (tls.PLAIN_TEXT, "the device answers without encryption.", "Set the service to http"),
        (NO_WAY, f"{NO_WAY}.", "Check whether"),
    ],
)
def test_what_the_page_says(text: str, happened: str, todo: str) -> None:
    problem = problems.of_stream(StreamReset(StreamError.TLS, text))
    assert problem.happened.endswith(happened)
    assert problem.todo.startswith(todo)
    assert problem.todo.endswith(".")


def test_texts_fit_on_the_wire() -> None:
    odd = ssl.SSLError(1, "x")
    odd.reason = "VERY_LONG_" * 50
    assert len(tls.trouble(odd)) == tls.TEXT_LIMIT
    assert tls.trouble(ssl.SSLError(1, "x")) == "handshake failed"
    assert tls.trouble(ConnectionResetError()) == "the device closed the connection during the handshake"
    assert len(tls.needs("legacy", "TLSv1.2", "X" * 300)) == tls.TEXT_LIMIT
