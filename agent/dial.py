"""Dialling a target on the LAN: TCP, or TLS for https services, with what goes wrong named for the person who waits."""

import asyncio
import errno
import hashlib
import hmac
import ssl
from dataclasses import replace
from typing import Final, NamedTuple

from agent import tls
from agent.targets import Service
from panelgate.frames import StreamError
from panelgate.joining import Held

CONNECT_SECONDS: Final = 10.0  # TCP and TLS together: panels on serial-to-Ethernet bridges take seconds
PROBE_SECONDS: Final = 5.0  # for each further look at a device whose handshake failed, only to say what it needs
# What further looks found counts for so long. A page makes many connections, somebody reloads it, and the web servers
# of PLCs have few sockets: each failed handshake must not make two more.
ADVICE_SECONDS: Final = 30.0
ADVICE_LIMIT: Final = 256  # services whose last advice is kept
WRITE_HIGH_WATER: Final = 64 * 1024  # bytes for a panel that reads slowly; more would only make memory


class DialFailed(Exception):
    """A target could not be reached: `code` for the reset of the stream, `text` a short detail for machines."""

    def __init__(self, code: StreamError, text: str = "") -> None:
        super().__init__(f"{code.name} {text}".strip())
        self.code = code
        self.text = text


# RFC 1122 and the kernel's errno(3): what the person can do differs, so the codes do.
_BY_ERRNO: Final = {
    errno.ECONNREFUSED: StreamError.CONNECTION_REFUSED,
    errno.ETIMEDOUT: StreamError.TIMEOUT,
    errno.EHOSTUNREACH: StreamError.UNREACHABLE,
    errno.ENETUNREACH: StreamError.UNREACHABLE,
    errno.EHOSTDOWN: StreamError.UNREACHABLE,
    errno.ENETDOWN: StreamError.UNREACHABLE,
    errno.EADDRNOTAVAIL: StreamError.UNREACHABLE,
    errno.EACCES: StreamError.UNREACHABLE,
    errno.EPERM: StreamError.UNREACHABLE,
    errno.ECONNRESET: StreamError.PEER_RESET,
    errno.EPIPE: StreamError.PEER_RESET,
    errno.EMFILE: StreamError.LIMIT,
    errno.ENFILE: StreamError.LIMIT,
}


class Advice:
    """What to do about handshakes that failed a moment ago, by service."""

    def __init__(self, seconds: float = ADVICE_SECONDS) -> None:
        self._seconds = seconds
        self._known: dict[tuple[object, ...], tuple[float, str]] = {}

    async def on(self, service: Service, error: Exception) -> str:
        """The reset's text for `error`; the device is looked at again only when it wasn't a moment ago."""
        clock = asyncio.get_running_loop().time
        until, text = self._known.get(service.dialled, (0.0, ""))
        if clock() < until:
            return text
        if len(self._known) >= ADVICE_LIMIT:
            self._known.clear()
        # Those that fail while it is looked at don't look as well.
        self._known[service.dialled] = clock() + self._seconds, tls.trouble(error)
        text = await _explain(service, error)
        self._known[service.dialled] = clock() + self._seconds, text
        return text


async def dial(
    service: Service, timeout: float = CONNECT_SECONDS, *, advice: Advice | None = None
) -> asyncio.Transport:
    """A connection to the service within `timeout` seconds; it reads nothing until it is joined (its protocol is Held).

    The address must have passed the policy: nothing is looked up here, and no proxy is asked. DialFailed otherwise.
    """
    context = tls_context(service)
    explain = advice.on if advice is not None else _explain
    try:
        async with asyncio.timeout(timeout):
            transport = await _connect(service, context)
    except ssl.SSLCertVerificationError as error:
        raise DialFailed(StreamError.TLS, await _name_certificate(service, error.verify_message)) from error
    except ssl.SSLError as error:
        raise DialFailed(StreamError.TLS, await explain(service, error)) from error
    except TimeoutError as error:
        raise DialFailed(StreamError.TIMEOUT, await _silent(service)) from error
    except OSError as error:
        if context is not None and isinstance(error, ConnectionResetError):
            # Old devices hang up on a greeting that they don't understand.
            raise DialFailed(StreamError.TLS, await explain(service, error)) from error
        raise DialFailed(of_errno(error.errno), errno.errorcode.get(error.errno or 0, "")) from error
    if service.verify == "pin" and context is not None:
        # Nothing has been sent yet, and without a pin that matches nothing will be.
        found = fingerprint(transport)
        if not hmac.compare_digest(found, service.pin or "not trusted yet"):
            transport.abort()
            raise DialFailed(StreamError.TLS, certificate_text(found))
    transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
    return transport


async def _connect(service: Service, context: ssl.SSLContext | None) -> asyncio.Transport:
    """A connection; `service.host` goes into SNI when it is a name, never when it is an address (RFC 6066, 3)."""
    transport, _ = await asyncio.get_running_loop().create_connection(
        Held, service.host, service.port, ssl=context, server_hostname=service.host if context else None
    )
    return transport


def of_errno(number: int | None) -> StreamError:
    """The code for an errno; what is not in the table is UNREACHABLE."""
    return _BY_ERRNO.get(number or 0, StreamError.UNREACHABLE)


def tls_context(service: Service) -> ssl.SSLContext | None:
    """How to speak TLS with this service; None for plain TCP. DialFailed when its own authority can't be read."""
    if service.protocol != "https":
        return None
    try:
        return tls.context_of(service.verify, service.profile, service.ca)
    except (ssl.SSLError, TypeError, ValueError) as error:  # no PEM; not even ASCII
        raise DialFailed(
            StreamError.TLS, "the authority's certificate in the service's settings can't be read: paste it again"
        ) from error


def fingerprint(transport: asyncio.BaseTransport) -> str:
    """Hex SHA-256 of the certificate that the other side showed; empty when it showed none."""
    shown: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = shown.getpeercert(binary_form=True) if shown is not None else None
    return hashlib.sha256(der).hexdigest() if der else ""


def certificate_text(found: str) -> str:
    """The reset's text for a certificate that was refused, in the spelling that browsers show."""
    pairs = ":".join(found[index : index + 2] for index in range(0, len(found), 2)).upper()
    return f"certificate sha256 {pairs}" if pairs else "certificate none"


class _Seen(NamedTuple):
    """What a further look at a device found."""

    version: str
    cipher: str
    fingerprint: str


async def _look(service: Service) -> _Seen | None:
    """Shake hands once more in another way, send nothing, and tell what was agreed; None when that failed as well."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            transport = await _connect(service, tls_context(service))
    except (OSError, TimeoutError):
        return None
    shown: ssl.SSLObject = transport.get_extra_info("ssl_object")
    cipher = shown.cipher()
    seen = _Seen(shown.version() or "", cipher[0] if cipher else "", fingerprint(transport))
    transport.abort()
    return seen


async def _silent(service: Service) -> str:
    """Where the silence began: "handshake" when the device accepts connections, else "connect"."""
    if service.protocol != "https":
        return "connect"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            (await _connect(service, None)).abort()
    except (OSError, TimeoutError):
        return "connect"
    return "handshake"


async def _name_certificate(service: Service, why: str) -> str:
    """Which certificate it was that the rules refused: a failed handshake does not tell, so look once more."""
    seen = await _look(replace(service, verify="none", ca=""))
    text = certificate_text(seen.fingerprint) if seen is not None else "certificate"
    return f"{text} {why}"[: tls.TEXT_LIMIT]


async def _explain(service: Service, error: Exception) -> str:
    """What to do about a failed handshake: whether a weaker profile would reach the device is tried, not guessed.

    A device that wants TLS 1.0 answers one greeting with an alert, the next with TLS 1.0, and a third by hanging up.
    """
    if not tls.is_plain_text(error):
        for profile in tls.WEAKER[service.profile]:
            seen = await _look(replace(service, verify="none", ca="", profile=profile))
            if seen is not None:
                return tls.needs(profile, seen.version, seen.cipher)
    return tls.trouble(error)
