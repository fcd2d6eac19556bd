"""A web service's options: where it differs from a well-behaved server. Access stores them, web proxy and agent obey.

Every option is off, or strict, unless an administrator chose otherwise; what is missing in a stored set is its default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from ipaddress import IPv6Address
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from panelgate.errors import BadInput
from panelgate.names import slug_ok

TlsProfile = Literal["modern", "compat", "legacy"]
Auth = Literal["none", "basic", "digest"]
Compress = Literal["off", "static", "all"]

HEADERS_LIMIT: Final = 20  # extra response headers; a page needs one or two
HEADER_LIMIT: Final = 4096  # bytes of one of them: a content policy can be long
COMPANIONS_LIMIT: Final = 8
USER_LIMIT: Final = 128  # characters of the user name that is sent to the device
CA_LIMIT: Final = 32 * 1024  # characters of PEM; a chain has a few kB
HOST_LIMIT: Final = 255

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
# Framing, our own cookies and what holds services apart are not an administrator's to set.
NEVER_SET: Final = frozenset({
    "connection", "content-length", "content-encoding", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive",
    "set-cookie", "set-cookie2", "clear-site-data", "location", "refresh", "strict-transport-security",
    "service-worker-allowed", "date", "server", "cross-origin-resource-policy", "origin-agent-cluster", "x-robots-tag",
    "alt-svc", "nel", "report-to", "reporting-endpoints", "public-key-pins", "public-key-pins-report-only", "expect-ct",
    "timing-allow-origin", "etag", "accept-ranges", "www-authenticate", "alt-used", "http2-settings", "set-login",
    "origin-trial", "accept-ch", "critical-ch", "cross-origin-opener-policy-report-only", "document-isolation-policy",
    "use-as-dictionary", "activate-storage-access",
})  # fmt: skip
# The last are orders to a load balancer in front of us: to serve its own files, or to keep pages for everybody.
NEVER_SET_PREFIXES: Final = (
    "access-control-", "sec-", "secure-session-", "proxy-", "x-accel-", "x-sendfile", "x-lighttpd-", "x-reproxy-",
    "x-litespeed-", "surrogate-", "edge-",
)  # fmt: skip
NEVER_SET_SUFFIX: Final = "cdn-cache-control"
# Pages whose sign-in works in a pop-up window need the middle one; none of these gives another site a handle on them.
OPENER_POLICIES: Final = ("same-origin", "same-origin-allow-popups", "noopener-allow-popups")


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Options of one service; see docs/options.md for what each is for.

    `host` stands in Host, Origin and Referer in place of the device's address. `forwarded` sends X-Forwarded-*.
    `service_workers` lets pages install them. `rewrite` maps the device's own addresses in text bodies and WebSocket
    text. `companions` are slugs of the device's other services that its pages may call. `headers` are added to its
    responses. `auth` and `user`, with the service's stored password, sign in at the device. `compress` says what the
    agent compresses, `cache` whether the web proxy keeps what the device marks cacheable. `tls_profile` and `tls_ca`
    (PEM, with verification "ca") are for the agent's TLS with the device.
    """

    host: str = ""
    forwarded: bool = False
    service_workers: bool = False
    rewrite: bool = False
    companions: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    auth: Auth = "none"
    user: str = ""
    compress: Compress = "static"
    cache: bool = True
    tls_profile: TlsProfile = "modern"
    tls_ca: str = ""

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults, in JSON's types: what is stored and sent."""
        found = {key: value for key, value in asdict(self).items() if value != getattr(DEFAULTS, key)}
        for key in ("companions", "headers"):
            if key in found:
                found[key] = [list(item) if isinstance(item, tuple) else item for item in found[key]]
        return found

    @classmethod
    def of(cls, raw: object) -> ServiceOptions:
        """From `as_json` of this or another version; unknown names are passed over. BadInput("bad_option")."""
        if raw is None:
            return DEFAULTS
        if not isinstance(raw, Mapping):
            raise _bad("options", "Options are an object.")
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in raw.items() if key in known}
        _check_types(given)
        if "companions" in given:
            given["companions"] = tuple(given["companions"])
        if "headers" in given:
            given["headers"] = tuple((str(name), str(value)) for name, value in given["headers"])
        made = cls(**given)
        made.check()
        return made

    def check(self) -> None:
        """BadInput("bad_option") with the option's name in its facts when a value makes no sense."""
        if self.host and not _host_ok(self.host):
            raise _bad("host", "A host is a name or address, perhaps with a port, like hmi.example or 10.0.0.5:8080.")
        if len(self.companions) > COMPANIONS_LIMIT or not all(slug_ok(slug) for slug in self.companions):
            raise _bad("companions", f"Companions are short names of services, at most {COMPANIONS_LIMIT}.")
        if len(self.headers) > HEADERS_LIMIT:
            raise _bad("headers", f"At most {HEADERS_LIMIT} headers can be added.")
        for name, value in self.headers:
            _check_header(name, value)
        # Not only control characters: half a surrogate pair is no text that an answer can carry, so that it would stop
        # every page and every history with this name in it, and characters that turn text around would mislead there.
        if len(self.user) > USER_LIMIT or not self.user.isprintable():
            raise _bad("user", f"A user name has at most {USER_LIMIT} characters on one line, all of them visible.")
        if self.auth == "basic" and ":" in self.user:
            raise _bad("user", "A user name for Basic sign-in can't contain a colon.")
        if len(self.tls_ca) > CA_LIMIT or (self.tls_ca and "-----BEGIN CERTIFICATE-----" not in self.tls_ca):
            raise _bad("tls_ca", "Paste the authority's certificate in PEM form, from BEGIN CERTIFICATE on.")


def never_set(key: str) -> bool:
    """Whether no option may add the header `key` (lower case)."""
    return key in NEVER_SET or key.startswith(NEVER_SET_PREFIXES) or key.endswith(NEVER_SET_SUFFIX)


def _host_ok(host: str) -> bool:
    """Whether it is a name or an address, perhaps with a port: `_HOST` says how it looks, this that it means one."""
    if len(host) > HOST_LIMIT or not _HOST.fullmatch(host):
        return False
    try:
        parts = urlsplit(f"//{host}")
        if host.startswith("["):
            IPv6Address(parts.hostname or "")
        return parts.port != 0
    except ValueError:
        return False


def _check_header(name: str, value: str) -> None:
    key = name.lower()
    if not _TOKEN.fullmatch(name) or never_set(key):
        raise _bad("headers", f"“{name[:64]}” can't be added to responses.")
    if key == "cross-origin-opener-policy" and value not in OPENER_POLICIES:
        raise _bad("headers", f"The value of {name} must be one of {', '.join(OPENER_POLICIES)}.")
    if len(value) > HEADER_LIMIT or not _VALUE.fullmatch(value):
        raise _bad("headers", f"The value of {name} has characters that a header can't have, or is too long.")


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "auth": get_args(Auth), "compress": get_args(Compress), "tls_profile": get_args(TlsProfile),
}  # fmt: skip


def _check_types(given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        default = getattr(DEFAULTS, key)
        if key in _CHOICES:
            if value not in _CHOICES[key]:
                raise _bad(key, f"Choose one of {', '.join(_CHOICES[key])}.")
        elif isinstance(default, bool):
            if not isinstance(value, bool):
                raise _bad(key, "This is either on or off.")
        elif isinstance(default, str):
            if not isinstance(value, str):
                raise _bad(key, "This is a text.")
        elif not _is_list(key, value):
            raise _bad(key, "This is a list.")


def _is_list(key: str, value: object) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if key == "companions":
        return all(isinstance(item, str) for item in value)
    return all(
        isinstance(item, list | tuple) and len(item) == 2 and all(isinstance(part, str) for part in item)
        for item in value
    )


def _bad(option: str, why: str) -> BadInput:
    return BadInput("bad_option", why, {"option": option})


DEFAULTS: Final = ServiceOptions()
