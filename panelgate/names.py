"""Slugs, host labels, and which origin a Host header names.

A service's origin is one DNS label under the apps domain: ``{service}--{device}--{account}``. Where there is no
wildcard name and certificate it is a port of its own on the portal's host instead, or, as the last resort, a path
below one host that all services share.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field

from panelgate.errors import Unavailable
from panelgate.ports import KnownPorts

SLUG_LIMIT = 32  # characters; three slugs and two separators must often fit one label
LABEL_LIMIT = 63  # octets in a DNS label, RFC 1035 section 2.3.4
SERVICE_IN_LONG_LABEL = 20  # characters of the service kept readable when the label is hashed

# First path words of the portal: no account may be called so, or its deep links would open the portal's pages.
RESERVED_ACCOUNTS = frozenset({
    "activity", "add-machine", "api", "factor", "health", "launch", "live", "login", "logout", "machines", "metrics",
    "people", "settings", "setup", "sign-in", "sign-out", "sign-up", "signed-out", "static",
})  # fmt: skip

_HASHED = re.compile(r"h[0-9a-f]{8}")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PORT = re.compile(r"[1-9][0-9]{3,4}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_THREE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:--[a-z0-9]+(?:-[a-z0-9]+)*){2}")


def slug_ok(text: str) -> bool:
    """Whether `text` can name an account, a device or a service in addresses.

    `xn` alone is refused: a label that starts with `xn--` is reserved for IDNA (RFC 5890 section 2.3.1).
    """
    return len(text) <= SLUG_LIMIT and _SLUG.fullmatch(text) is not None and text != "xn"


def account_ok(slug: str) -> bool:
    """Whether a slug may name an account: none of the portal's words, and nothing that looks like a hash.

    A label that is too long for DNS carries hashes; an account called like one could take another's address.
    """
    return slug_ok(slug) and slug not in RESERVED_ACCOUNTS and _HASHED.fullmatch(slug) is None


def slugify(text: str) -> str:
    """The slug nearest to a human name; empty when nothing usable is left."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LIMIT].strip("-")


def _hash8(slug: str) -> str:
    return "h" + hashlib.sha256(slug.encode()).hexdigest()[:8]


def host_label(service: str, device: str, account: str) -> str:
    """The DNS label of a service's origin; hashed device and account when the readable one exceeds 63 octets."""
    label = f"{service}--{device}--{account}"
    if len(label) <= LABEL_LIMIT:
        return label
    return f"{service[:SERVICE_IN_LONG_LABEL].rstrip('-')}-{_hash8(service)}--{_hash8(device)}--{_hash8(account)}"


def label_ok(text: str) -> bool:
    """Whether `text` has the form of a service's host label: three slugs. No path of a device's looks like it."""
    return len(text) <= LABEL_LIMIT and _THREE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Sites:
    """The addresses of one installation: the portal, and the apps domain that services live under.

    `host` is the portal's name, "" for portal.<domain>. With `ports` services have no names but ports on that host.
    With `apps`, a host name, all services share that host, each below a path that is its label.
    """

    domain: str = "localhost"
    scheme: str = "http"
    port: int = 8080
    host: str = ""
    ports: KnownPorts | None = field(default=None, compare=False)
    apps: str = ""

    @property
    def _port_suffix(self) -> str:
        return "" if self.port == {"http": 80, "https": 443}[self.scheme] else f":{self.port}"

    @property
    def portal_name(self) -> str:
        """The portal's host name, without port."""
        return self.host or f"portal.{self.domain}"

    @property
    def portal_host(self) -> str:
        """The portal's Host header, with the port when it isn't the scheme's own."""
        return f"{self.portal_name}{self._port_suffix}"

    @property
    def portal_origin(self) -> str:
        """The portal's origin as a browser writes it."""
        return f"{self.scheme}://{self.portal_host}"

    @property
    def apps_suffix(self) -> str:
        """The domain that every service's origin is a label of, without port."""
        return f"apps.{self.domain}"

    @property
    def apps_wildcard(self) -> str:
        """All service origins as a content policy's host source."""
        if self.apps:
            return f"{self.scheme}://{self.apps_host}"
        if self.ports is not None:
            return f"{self.scheme}://{self.portal_name}:*"
        return f"{self.scheme}://*.{self.apps_suffix}{self._port_suffix}"

    @property
    def apps_host(self) -> str:
        """The Host header of all services, where they share a host; else nothing."""
        return f"{self.apps}{self._port_suffix}" if self.apps else ""

    @property
    def cookie_stem(self) -> str:
        """What the names of the portal's cookies begin with.

        Services at ports share the portal's host, and with it its cookies: browsers that know the longer prefix let
        no script set such a cookie, to the others it is a __Host- cookie like the shorter one.
        """
        return "__Host-" if self.ports is None else "__Host-Http-"

    def learn(self, label: str, port: object) -> None:
        """Note a service's port as the access server said it; of no meaning where services have names."""
        if self.ports is not None:
            self.ports.learn(label, port)

    def hear(self, label: str, port: object) -> None:
        """The same from an answer that may be a minute old."""
        if self.ports is not None:
            self.ports.hear(label, port)

    def has_origin(self, label: str) -> bool:
        """Whether the service has an origin that is known here."""
        return self.ports is None or self.ports.port_of(label) is not None

    def service_host(self, label: str) -> str:
        """The Host header of a service's origin; Unavailable("no_port") when it has no port that is known here."""
        if self.apps:
            return self.apps_host
        if self.ports is None:
            return f"{label}.{self.apps_suffix}{self._port_suffix}"
        port = self.ports.port_of(label)
        if port is None:
            raise Unavailable(
                "no_port",
                "This panel has no port of its own. Access server and web proxies must have the same "
                "PANELGATE_ORIGINS and PANELGATE_ORIGIN_PORTS, with ports left in the range.",
            )
        return f"{self.portal_name}:{port}"

    def service_origin(self, label: str) -> str:
        """A service's origin as a browser writes it."""
        return f"{self.scheme}://{self.service_host(label)}"

    def service_root(self, label: str) -> str:
        """The path that a service stands below: nothing where it has an origin of its own."""
        return f"/{label}" if self.apps else ""

    def service_base(self, label: str) -> str:
        """What comes before a device's own path in addresses: the service's origin, and its root."""
        return f"{self.service_origin(label)}{self.service_root(label)}"

    def word_of(self, label: str) -> str:
        """What names a service's origin in addresses of the portal: its label, or its port.

        A port says nothing of the machine behind it, and everybody may try ports.
        """
        return label if self.ports is None else str(self.ports.port_of(label) or "")

    def word_ok(self, word: str) -> bool:
        """Whether `word` could name an origin of this installation."""
        if self.ports is not None:
            return self.port_named(f"{self.portal_name}:{word}") is not None
        return len(word) <= LABEL_LIMIT and _LABEL.fullmatch(word) is not None and word == word.lower()

    def port_named(self, host: str) -> int | None:
        """The port of the range that a Host header names; None for anything else, and where services have names."""
        if self.ports is None:
            return None
        name, _, port = host.lower().rpartition(":")
        if name != self.portal_name or not _PORT.fullmatch(port) or int(port) not in self.ports.range:
            return None
        return int(port)

    def label_of(self, host: str) -> str | None:
        """The label that a Host header names, or None: other domain, other port, trailing dot, odd characters."""
        if self.apps:
            return None  # the path decides
        if self.ports is not None:
            port = self.port_named(host)
            return self.ports.label_at(port) if port is not None else None
        suffix = f".{self.apps_suffix}{self._port_suffix}"
        lowered = host.lower()
        if not lowered.endswith(suffix):
            return None
        label = lowered[: -len(suffix)]
        return label if len(label) <= LABEL_LIMIT and _LABEL.fullmatch(label) else None

    def is_service(self, host: str) -> bool:
        """Whether a Host header is one that services have."""
        if self.apps:
            return host.lower() == self.apps_host
        return (self.label_of(host) if self.ports is None else self.port_named(host)) is not None

    def is_portal(self, host: str) -> bool:
        """Whether a Host header names the portal."""
        return host.lower() == self.portal_host
