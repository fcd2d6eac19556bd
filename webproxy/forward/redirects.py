"""Where the browser may go when a device says so: Location and Refresh. No I/O; nothing is followed here."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import unquote_to_bytes, urlsplit

from webproxy.forward.rewrite import DEFAULT_PORTS
from webproxy.forward.rules import Rules

# How browsers read a Refresh (HTML, "shared declarative refresh steps"): seconds, a separator, perhaps "url=", quotes.
_REFRESH = re.compile(rb"[ \t]*((?:[0-9]|(?=\.))[0-9.]*)[ \t]*(?:(?:[;,]|(?<=[ \t]))[ \t]*(.*))?", re.DOTALL)
_URL = re.compile(rb"url[ \t]*=[ \t]*", re.IGNORECASE)


class RedirectRefused(Exception):
    """The device redirects to a private address that is no service of it; `address` is where to."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


def refresh(rules: Rules, value: bytes) -> bytes | None:
    """A Refresh header whose address is treated as a Location; None for one that a browser makes nothing of."""
    match = _REFRESH.fullmatch(value)
    if match is None:
        return None
    seconds, rest = match[1], match[2] or b""
    if not rest:
        return seconds
    address = rest[len(url[0]) :] if (url := _URL.match(rest)) else rest
    if address[:1] in (b'"', b"'"):
        address = address[1:].partition(address[:1])[0]
    return seconds + b";url=" + location(rules, address.strip(b" \t"))


def location(rules: Rules, value: bytes) -> bytes:
    """Where the browser may go when the device redirects to `value`; RedirectRefused for private addresses.

    The service's own address becomes the public origin, a sibling service's its own; addresses in the internet pass.
    Nothing is ever followed by the web proxy.
    """
    text = value.decode("latin-1")
    # Browsers read "/\\host" and "\\\\host" as "//host" (WHATWG URL), so these are looked at as such.
    probe = re.sub(r"[\t\n\r]", "", text).strip()
    slashed = probe
    if re.match(r"https?:|[/\\]", probe, re.IGNORECASE):
        way = re.split(r"[?#]", probe, maxsplit=1)[0]
        slashed = way.replace("\\", "/") + probe[len(way) :]
    lowered = slashed.lower()
    if _is_ours(slashed):
        raise RedirectRefused(text[:200])
    if slashed.startswith("//"):
        slashed = f"{rules.scheme}:{slashed}"
    elif not lowered.startswith(("http:", "https:")):
        # A path of a companion's is one below where it stands here; so is any, where services share one host.
        if not slashed.startswith("/") or not rules.outer or (rules.root and value.startswith(rules.root + b"/")):
            return value
        return rules.outer + value
    scheme, _, rest = slashed.partition(":")
    # "http:///host" and "http:host/" name a host for a browser as well.
    slashed = f"{scheme.lower()}://{rest.lstrip('/')}"
    try:
        parts = urlsplit(slashed)
        host = (_as_browsers_read(parts.netloc) or parts.hostname or "").rstrip(".")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except ValueError:
        raise RedirectRefused(text[:200]) from None
    tail = parts.path or "/"
    tail += f"?{parts.query}" if parts.query else ""
    tail += f"#{parts.fragment}" if parts.fragment else ""
    if host in rules.addresses.hosts:
        found = rules.addresses.find(parts.scheme, host, port)
        if found is not None:
            return (found + tail).encode("latin-1")
    # A device that is told the public name says it back, whatever it thinks the scheme is.
    public = rules.public_hosts.get(parts.netloc.rpartition("@")[2].lower())
    if public is not None:
        root = rules.root.decode()
        if root and tail.startswith(root + "/"):
            tail = tail[len(root) :]  # a page of the device's told it where it is
        return (public + tail).encode("latin-1")
    if host in rules.addresses.hosts or is_private(host):
        raise RedirectRefused(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200])
    return value


_LOCAL_NAMES = (".local", ".lan", ".internal", ".localhost", ".home.arpa")


def _as_browsers_read(authority: str) -> str:
    """The host in it when it is written oddly: browsers decode it and map other digits and dots (WHATWG URL)."""
    name = authority.rpartition("@")[2]
    if "%" not in name and name.isascii():
        return ""
    decoded = unquote_to_bytes(name.encode("latin-1", "replace")).decode("utf-8", "replace")
    return unicodedata.normalize("NFKC", decoded).replace("\u3002", ".").partition(":")[0].lower()


def _is_ours(address: str) -> bool:
    """Whether a path has a step that is reserved for us: no device sends a browser there, to /.pg/reset say.

    Browsers drop dots and turn backslashes in paths before they ask, so any step counts.
    """
    path = re.split(r"[?#]", address, maxsplit=1)[0].replace("\\", "/")
    return ".pg" in re.sub("%2e", ".", path, flags=re.IGNORECASE).split("/")


def is_private(host: str) -> bool:
    """Whether `host` only means something on a LAN: private addresses, single-label and local names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # "0x7f.1", "2130706433": forms of IPv4 addresses that browsers understand.
        odd_number = re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", host) is not None
        return odd_number or "." not in host or host.endswith(_LOCAL_NAMES)
    return not address.is_global
