"""How TLS is spoken with devices: profiles for their age, verification of their certificate, and what failed, in words.

    profile   for                                    versions       ciphers
    modern    anything that a browser opens          1.2 and 1.3    Python's default list
    compat    controllers of about 2010 to 2016      1.2 and 1.3    also static RSA, DHE with 1024 bits, AES-CBC, SHA-1
    legacy    what nobody updates any more           1.0 to 1.3     all that OpenSSL was built with

A profile says how weak the encryption may be, `verify` whom it must lead to: they are chosen one without the other.
Anonymous key exchange (no certificate at all) is offered only where no certificate is asked for: OpenSSL verifies what
a server shows, and finds nothing wrong with a server that shows nothing. No I/O; the system's authorities are read.
"""

import ssl
from functools import lru_cache
from typing import Final

from agent.targets import TlsVerify
from panelgate.options import TlsProfile

LEGACY_SERVER_CONNECT: Final = ssl.Options(0x4)  # OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT; Python names it from 3.12 on
CONTEXTS_LIMIT: Final = 64  # contexts kept: reading the system's authorities takes a router-class CPU 0.1 s
TEXT_LIMIT: Final = 200  # characters of a reset's text; the wire allows 256 bytes

_CIPHERS: Final[dict[TlsProfile, str]] = {
    "compat": "DEFAULT:@SECLEVEL=1",
    "legacy": "ALL:COMPLEMENTOFDEFAULT:@SECLEVEL=0",
}
# The profiles that may reach a device when this one does not, mildest first.
WEAKER: Final[dict[TlsProfile, tuple[TlsProfile, ...]]] = {
    "modern": ("compat", "legacy"), "compat": ("legacy",), "legacy": (),
}  # fmt: skip
_VERSIONS: Final = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1"}

PLAIN_TEXT: Final = "the device answers without encryption: set the service to http, or to the port of its https"
# OpenSSL's reasons (include/openssl/sslerr.h) for which more can be said than their name.
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": PLAIN_TEXT,
    "HTTP_REQUEST": PLAIN_TEXT,
    "TLSV1_ALERT_PROTOCOL_VERSION": "the device speaks no version of TLS that the agent can speak",
    "UNSUPPORTED_PROTOCOL": "the device speaks no version of TLS that the agent can speak",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the device accepts no cipher of ours, or asks for a client certificate",
    "NO_CIPHERS_AVAILABLE": "the agent's OpenSSL has no cipher of this profile",
    "DH_KEY_TOO_SMALL": "the device's key exchange is too weak for this profile: choose the legacy profile",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "the device can't renegotiate safely: choose the legacy profile",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the device asks for a client certificate, which the agent doesn't have",
    "TLSV1_UNRECOGNIZED_NAME": "the device expects to be called by another name",
    "UNEXPECTED_EOF_WHILE_READING": "the device closed the connection during the handshake",
}


@lru_cache(CONTEXTS_LIMIT)
def context_of(verify: TlsVerify, profile: TlsProfile, ca: str) -> ssl.SSLContext:
    """The context for one way to speak TLS, made once. ssl.SSLError, TypeError or ValueError when `ca` is no PEM.

    With "ca" the certificate must lead to an authority and name the address that is dialled. `ca` (PEM) takes the place
    of the system's authorities: what is in it is trusted as it stands, also an intermediate or a device's own
    self-signed certificate. Its names are compared all the same: one plant's authority signs hundreds of devices, and
    without the comparison each could stand in for every other. A certificate with another name is a case for "pin".
    """
    if verify == "ca" and not ca:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if verify == "ca":
            context.load_verify_locations(cadata=ca)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if profile == "legacy":
        # TLS 1.0: Python's contexts exclude SSL 3 by an option of their own, and warn when 1.0 is named.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.options |= LEGACY_SERVER_CONNECT
    if profile != "modern":
        # Also for "pin": an anonymous server has nothing to compare the pin with.
        context.set_ciphers(_CIPHERS[profile] if verify == "none" else _CIPHERS[profile] + ":!aNULL")
    return context


def trouble(error: Exception) -> str:
    """What a failed handshake means, as a reset's text: "fact" or "fact: what to do"."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "failed"
        return _REASONS.get(reason, "handshake " + reason.lower().replace("_", " "))[:TEXT_LIMIT]
    return _REASONS["UNEXPECTED_EOF_WHILE_READING"]


def is_plain_text(error: Exception) -> bool:
    """Whether the device spoke, and not TLS: no profile helps."""
    return isinstance(error, ssl.SSLError) and _REASONS.get(getattr(error, "reason", None) or "") == PLAIN_TEXT


def needs(profile: TlsProfile, version: str, cipher: str) -> str:
    """The reset's text for a device that only a weaker profile reaches, with what was agreed then."""
    old = _VERSIONS.get(version)
    what = f"speaks only {old}" if old else f"offers only outdated encryption ({cipher})"
    return f"the device {what}: choose the {profile} profile"[:TEXT_LIMIT]
