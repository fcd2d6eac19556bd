"""Dialling a target on the LAN: TCP, or TLS for https services, with what goes wrong named for the person who waits."""

import asyncio
import errno
import hashlib
import hmac
import ssl
from typing import Final

from agent.targets import Service
from panelgate.frames import StreamError
from panelgate.joining import Held

CONNECT_SECONDS: Final = 10.0  # TCP and TLS together: panels on serial-to-Ethernet bridges take seconds
PROBE_SECONDS: Final = 5.0  # for a second look at a certificate that was refused, only to name it
LEGACY_SERVER_CONNECT: Final = ssl.Options(0x4)  # OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT; Python names it from 3.12 on
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


async def dial(service: Service, timeout: float = CONNECT_SECONDS) -> asyncio.Transport:
    """A connection to the service within `timeout` seconds; it reads nothing until it is joined (its protocol is Held).

    The address must have passed the policy: nothing is looked up here, and no proxy is asked. DialFailed otherwise.
    """
    context = tls_context(service)
    try:
        async with asyncio.timeout(timeout):
            transport, _ = await asyncio.get_running_loop().create_connection(
                Held, service.host, service.port, ssl=context, server_hostname=service.host if context else None
            )
    except ssl.SSLCertVerificationError as error:
        raise DialFailed(StreamError.TLS, await _name_certificate(service, error.verify_message)) from error
    except ssl.SSLError as error:
        raise DialFailed(StreamError.TLS, f"handshake {error.reason or 'failed'}"[:200]) from error
    except TimeoutError as error:
        raise DialFailed(StreamError.TIMEOUT, "connect") from error
    except OSError as error:
        raise DialFailed(of_errno(error.errno), errno.errorcode.get(error.errno or 0, "")) from error
    if service.verify == "pin" and context is not None:
        found = fingerprint(transport)
        if not hmac.compare_digest(found, service.pin or ""):
            transport.abort()
            raise DialFailed(StreamError.TLS, certificate_text(found))
    transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
    return transport


def of_errno(number: int | None) -> StreamError:
    """The code for an errno; what is not in the table is UNREACHABLE."""
    return _BY_ERRNO.get(number or 0, StreamError.UNREACHABLE)


def tls_context(service: Service) -> ssl.SSLContext | None:
    """How to speak TLS with this service; None for plain TCP.

    With "ca" the usual rules of a browser hold. With "pin" and "none" old panels must still be reachable: TLS 1.0 and
    their ciphers are accepted, because the alternative on the machine's own LAN is plain text.
    """
    if service.protocol != "https":
        return None
    context = ssl.create_default_context()
    if service.verify != "ca":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.options |= LEGACY_SERVER_CONNECT
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def fingerprint(transport: asyncio.BaseTransport) -> str:
    """Hex SHA-256 of the certificate that the other side showed; empty when it showed none."""
    shown: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = shown.getpeercert(binary_form=True) if shown is not None else None
    return hashlib.sha256(der).hexdigest() if der else ""


def certificate_text(found: str) -> str:
    """The reset's text for a certificate that was refused, in the spelling that browsers show."""
    pairs = ":".join(found[index : index + 2] for index in range(0, len(found), 2)).upper()
    return f"certificate sha256 {pairs}" if pairs else "certificate none"


async def _name_certificate(service: Service, why: str) -> str:
    """Which certificate it was that the rules refused: a failed handshake does not tell, so look once more."""
    plain = Service(service.id, service.slug, service.name, service.host, service.port, "https", "none")
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            transport, _ = await asyncio.get_running_loop().create_connection(
                Held, plain.host, plain.port, ssl=tls_context(plain), server_hostname=plain.host
            )
    except (OSError, TimeoutError):
        return f"certificate {why}"[:200]
    text = certificate_text(fingerprint(transport))
    transport.abort()
    return f"{text} {why}"[:200]
