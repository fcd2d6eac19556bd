"""Slugs, host labels, and which origin a Host header names.

A service's origin is one DNS label under the apps domain: ``{service}--{device}--{account}``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

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
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


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


@dataclass(frozen=True, slots=True)
class Sites:
    """The addresses of one installation: the portal, and the apps domain that services live under."""

    domain: str = "localhost"
    scheme: str = "http"
    port: int = 8080

    @property
    def _port_suffix(self) -> str:
        return "" if self.port == {"http": 80, "https": 443}[self.scheme] else f":{self.port}"

    @property
    def portal_host(self) -> str:
        """The portal's Host header, with the port when it isn't the scheme's own."""
        return f"portal.{self.domain}{self._port_suffix}"

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
        return f"{self.scheme}://*.{self.apps_suffix}{self._port_suffix}"

    def service_host(self, label: str) -> str:
        """The Host header of a service's origin."""
        return f"{label}.{self.apps_suffix}{self._port_suffix}"

    def service_origin(self, label: str) -> str:
        """A service's origin as a browser writes it."""
        return f"{self.scheme}://{self.service_host(label)}"

    def label_of(self, host: str) -> str | None:
        """The label that a Host header names, or None: other domain, other port, trailing dot, odd characters."""
        suffix = f".{self.apps_suffix}{self._port_suffix}"
        lowered = host.lower()
        if not lowered.endswith(suffix):
            return None
        label = lowered[: -len(suffix)]
        return label if len(label) <= LABEL_LIMIT and _LABEL.fullmatch(label) else None

    def is_portal(self, host: str) -> bool:
        """Whether a Host header names the portal."""
        return host.lower() == self.portal_host
