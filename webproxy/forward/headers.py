"""What changes in heads on their way: to the device (Host, Origin, Referer, Cookie) and back (redirects, cookies).

The device must believe that it is spoken to directly: Host, Origin and Referer all name its own address, and nothing
tells of a proxy. The browser must never be able to leave the service's origin by what the device answers, nor one
origin touch another's cookies. No I/O.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from panelgate.response import ResponseHead
from webproxy.forward.request import RequestHead

OUR_PREFIX = b"__host-pg"  # every cookie of ours starts so, in lower case
SESSION_COOKIE = b"__Host-pg"
COOKIE_LIMIT = 16 * 1024  # bytes of cookies forwarded unseen; above, only those that this device set itself
COOKIE_NAMES_LIMIT = 200  # names remembered per session and service; browsers keep 180 per host

DEFAULT_PORTS = {"http": 80, "https": 443}


class RedirectRefused(Exception):
    """The device redirects to a private address that is no service of it; `address` is where to."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class CookieTrouble(Exception):
    """More than one session cookie came: somebody tossed one from another origin."""


@dataclass(frozen=True)
class Rules:
    """What one service's heads are rewritten by. `siblings` maps origins on the device's LAN to public origins."""

    public_origin: str
    scheme: str
    host: str
    port: int
    siblings: Mapping[str, str] = field(default_factory=dict)

    # Bytes made once: the hot path only joins them.
    authority: bytes = b""
    upstream_origin: bytes = b""
    public: bytes = b""
    request_fixed: bytes = b""
    response_fixed: bytes = b""
    secure: bool = False
    own_address: re.Pattern[bytes] = field(default_factory=lambda: re.compile(b"$^"))

    @classmethod
    def of(
        cls, public_origin: str, scheme: str, host: str, port: int, siblings: Mapping[str, str] | None = None
    ) -> Rules:
        """Rules of the service at `scheme`://`host`:`port` that browsers see at `public_origin`."""
        name = f"[{host}]" if ":" in host else host
        authority = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
        secure = public_origin.startswith("https:")
        upstream = f"{scheme}://{authority}"
        port_part = rf"(?::{port})?" if port == DEFAULT_PORTS[scheme] else f":{port}"
        own = re.compile(
            rf"(?:{scheme}|(?P<ws>{scheme.replace('http', 'ws')}))://{re.escape(name)}{port_part}(?![0-9A-Za-z.:_-])".encode(),
            re.IGNORECASE,
        )
        fixed = _RESPONSE_FIXED + (b"Strict-Transport-Security: max-age=31536000\r\n" if secure else b"")
        return cls(
            public_origin, scheme, host, port, dict(siblings or {}), authority.encode(), upstream.encode(),
            public_origin.encode(), b" HTTP/1.1\r\nHost: " + authority.encode() + b"\r\n", fixed, secure, own,
        )  # fmt: skip


# ---- cookies of the browser


def split_cookies(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The session tokens found, and the pairs that are not ours; our other cookies are left out."""
    tokens: list[bytes] = []
    others: list[bytes] = []
    for line in lines:
        for piece in line.split(b";"):
            pair = piece.strip(b" \t")
            if not pair:
                continue
            bare = pair.lstrip(b"= \t")
            if bare[:9].lower() != OUR_PREFIX:
                others.append(pair)
            elif pair.startswith(SESSION_COOKIE + b"="):
                tokens.append(pair[len(SESSION_COOKIE) + 1 :])
            elif bare[9:].lstrip(b" \t")[:1] in (b"=", b""):
                # Odd case or nameless forms of the session cookie: never ours, never the device's.
                tokens.append(b"")
    return tokens, others


def session_token(tokens: list[bytes]) -> str | None:
    """The one session token, or None; CookieTrouble when there are several."""
    if not tokens:
        return None
    if len(tokens) > 1:
        raise CookieTrouble
    try:
        return tokens[0].decode("ascii") or None
    except UnicodeDecodeError:
        return None


def token_of(lines: list[bytes]) -> str | None:
    """The session token of a request's cookies; None when there is none or more than one."""
    try:
        return session_token(split_cookies(lines)[0])
    except CookieTrouble:
        return None


def own_cookie(lines: list[bytes], name: bytes) -> bytes | None:
    """The value of our cookie `name` when it came exactly once."""
    found = []
    for line in lines:
        for piece in line.split(b";"):
            key, equals, value = piece.strip(b" \t").partition(b"=")
            if equals and key == name:
                found.append(value)
    return found[0] if len(found) == 1 else None


def cookie_line(others: list[bytes], known: set[bytes]) -> bytes:
    """The Cookie header for the device, or nothing; too much is cut to the names that this device set."""
    if not others:
        return b""
    line = b"; ".join(others)
    if len(line) > COOKIE_LIMIT:
        line = b"; ".join(pair for pair in others if pair.partition(b"=")[0] in known)
        if not line or len(line) > COOKIE_LIMIT:
            return b""
    return b"Cookie: " + line + b"\r\n"


# ---- request


def referer_for(rules: Rules, referer: bytes) -> bytes:
    """The Referer the device sees: its own pages by their own address, any other as its root."""
    public = rules.public
    if referer.startswith(public) and referer[len(public) : len(public) + 1] in (b"/", b"?", b""):
        path = referer[len(public) :]
        if not path.startswith(b"/.pg/"):
            return rules.upstream_origin + (path or b"/")
    return rules.upstream_origin + b"/"


def request_bytes(rules: Rules, head: RequestHead, cookie: bytes, *, websocket: bool = False) -> bytes:
    """The request head for the device, from the sorted head and the finished Cookie header."""
    parts = [head.method, b" ", head.target, rules.request_fixed, *head.lines]
    if cookie:
        parts.append(cookie)
    if head.origin is not None and head.origin == rules.public:
        parts.append(b"Origin: " + rules.upstream_origin + b"\r\n")
    if head.referer is not None:
        parts.append(b"Referer: " + referer_for(rules, head.referer) + b"\r\n")
    if head.site:
        # A cross-site navigation was allowed by us; to the device it is one that began in the address bar.
        site = head.site if head.site in (b"same-origin", b"none") else b"none"
        parts.append(b"Sec-Fetch-Site: " + site + b"\r\n")
    if websocket:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        return b"".join(parts)
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    parts.append(b"Connection: keep-alive\r\n\r\n")
    return b"".join(parts)


# ---- response

_RESPONSE_FIXED = (
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
    b"Cross-Origin-Opener-Policy: same-origin\r\n"
    b"Origin-Agent-Cluster: ?1\r\n"
    b"X-Robots-Tag: noindex\r\n"
    # Framesets are common on panels, so a service may frame itself; nobody else may (clickjacking).
    b"Content-Security-Policy: frame-ancestors 'self'\r\n"
)
_PASS, _DROP, _COOKIE, _LOCATION, _REFRESH, _ADDRESSES, _REFERRER, _CACHE = range(8)
_DROPPED = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"proxy-authentication-info", b"te",
    b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"clear-site-data", b"strict-transport-security",
    b"public-key-pins", b"public-key-pins-report-only", b"expect-ct", b"alt-svc", b"alt-used", b"nel", b"report-to",
    b"reporting-endpoints", b"service-worker-allowed", b"cross-origin-resource-policy", b"cross-origin-opener-policy",
    b"cross-origin-opener-policy-report-only", b"origin-agent-cluster", b"x-robots-tag", b"set-login", b"origin-trial",
    b"accept-ch", b"critical-ch", b"proxy-status", b"http2-settings", b"timing-allow-origin",
    b"document-isolation-policy",
    b"use-as-dictionary", b"activate-storage-access",
    # Orders to a load balancer in front of us: to serve its own files instead, or to keep the page for everybody.
    b"x-accel-redirect", b"x-accel-expires", b"x-accel-limit-rate", b"x-accel-charset", b"x-sendfile",
    b"x-lighttpd-send-file", b"x-lighttpd-send-tempfile", b"x-reproxy-url", b"x-reproxy-file", b"x-litespeed-location",
    b"x-litespeed-cache-control", b"surrogate-control", b"surrogate-key", b"edge-control", b"cdn-cache-control",
})  # fmt: skip
_DROPPED_PREFIXES = (b"access-control-", b"secure-session-", b"sec-session-")
_DROPPED_SUFFIX = b"-cdn-cache-control"  # RFC 9213: targeted at one operator's caches
_SHARED = (b"public", b"private")
_SPECIAL = {
    b"set-cookie": _COOKIE, b"set-cookie2": _DROP, b"location": _LOCATION, b"content-location": _ADDRESSES,
    b"refresh": _REFRESH, b"link": _ADDRESSES, b"content-security-policy": _ADDRESSES,
    b"content-security-policy-report-only": _ADDRESSES, b"referrer-policy": _REFERRER, b"cache-control": _CACHE,
}  # fmt: skip
_kinds: dict[bytes, int] = {}


def _kind(key: bytes) -> int:
    kind = _SPECIAL.get(key)
    if kind is None:
        gone = key in _DROPPED or key.startswith(_DROPPED_PREFIXES) or key.endswith(_DROPPED_SUFFIX)
        kind = _DROP if gone else _PASS
    if len(_kinds) >= 1024:
        _kinds.clear()
    _kinds[key] = kind
    return kind


def response_lines(rules: Rules, head: ResponseHead, names: set[bytes]) -> list[bytes]:
    """The header lines for the browser, without framing; cookie names the device sets are added to `names`.

    RedirectRefused when the device sends the browser to a private address that is no service.
    """
    lines: list[bytes] = []
    referrer = cache = False
    connection = b"".join(value for key, _, value in head.headers if key == b"connection").lower()
    named = connection if connection not in (b"", b"close", b"keep-alive") else b""
    for key, name, value in head.headers:
        kind = _kinds.get(key)
        if kind is None:
            kind = _kind(key)
        if kind == _PASS:
            if named and key in [token.strip() for token in named.split(b",")]:
                continue
            lines.append(name + b": " + value + b"\r\n")
        elif kind == _COOKIE:
            cookie = set_cookie(value, secure=rules.secure, names=names)
            if cookie is not None:
                lines.append(b"Set-Cookie: " + cookie + b"\r\n")
        elif kind == _LOCATION:
            lines.append(b"Location: " + location(rules, value) + b"\r\n")
        elif kind == _REFRESH:
            lines.append(b"Refresh: " + refresh(rules, value) + b"\r\n")
        elif kind == _ADDRESSES:
            lines.append(name + b": " + own_addresses(rules, value) + b"\r\n")
        elif kind == _REFERRER:
            referrer = True
            # With no-referrer, browsers send "Origin: null" with the page's own forms, which nobody could then check.
            policy = b"same-origin" if b"no-referrer" in value.lower().split(b",")[-1].split() else value
            lines.append(b"Referrer-Policy: " + policy + b"\r\n")
        elif kind == _CACHE:
            cache = True
            lines.append(b"Cache-Control: " + private(value) + b"\r\n")
    if not referrer:
        lines.append(b"Referrer-Policy: same-origin\r\n")
    if not cache:
        lines.append(b"Cache-Control: private\r\n")
    lines.append(rules.response_fixed)
    return lines


def private(value: bytes) -> bytes:
    """A Cache-Control that no shared cache may act on: what the device said, made private.

    "max-age" alone would let a cache in front of us keep one user's page and give it to another.
    """
    kept = [part.strip() for part in value.split(b",")]
    plain = {part.lower() for part in kept}
    if b"no-store" in plain:
        return value
    kept = [part for part in kept if part and part.lower() not in _SHARED and not part.lower().startswith(b"s-maxage")]
    return b", ".join([b"private", *kept])


def set_cookie(value: bytes, *, secure: bool, names: set[bytes]) -> bytes | None:
    """A device's cookie, tied to its own origin; None when it would be one of ours.

    Domain goes always, so that cookies of one service never reach another; with `secure` the cookie gets Secure.
    """
    pair, *attributes = [part.strip(b" \t") for part in value.split(b";")]
    if pair.lstrip(b"= \t").lower().startswith(OUR_PREFIX):
        return None
    kept = [pair]
    has_secure = any(part.lower() == b"secure" for part in attributes)
    for part in attributes:
        key, _, setting = part.lower().partition(b"=")
        key = key.strip()
        if key == b"domain" or not part:
            continue
        if key == b"samesite" and setting.strip() == b"none" and not has_secure and not secure:
            continue
        kept.append(part)
    if secure and not has_secure:
        kept.append(b"Secure")
    if len(names) < COOKIE_NAMES_LIMIT:
        names.add(pair.partition(b"=")[0].strip(b" \t"))
    return b"; ".join(kept)


def own_addresses(rules: Rules, value: bytes) -> bytes:
    """`value` with the device's own address replaced by the public origin (http and ws alike)."""
    public_ws = rules.public.replace(b"http", b"ws", 1)
    return rules.own_address.sub(lambda match: public_ws if match["ws"] else rules.public, value)


def refresh(rules: Rules, value: bytes) -> bytes:
    """A Refresh header whose address is treated as a Location."""
    seconds, semicolon, rest = value.partition(b";")
    key, equals, address = rest.strip().partition(b"=")
    if not semicolon or not equals or key.strip().lower() != b"url":
        return value
    return seconds.strip() + b";url=" + location(rules, address.strip(b" \t\"'"))


def location(rules: Rules, value: bytes) -> bytes:
    """Where the browser may go when the device redirects to `value`; RedirectRefused for private addresses.

    The service's own address becomes the public origin, a sibling service's its own; addresses in the internet pass.
    Nothing is ever followed by the web proxy.
    """
    text = value.decode("latin-1")
    # Browsers read "/\\host" and "\\\\host" as "//host" (WHATWG URL), so these are looked at as such.
    probe = re.sub(r"[\t\n\r]", "", text).strip()
    slashed = probe.replace("\\", "/") if re.match(r"(https?:)?[/\\]", probe, re.IGNORECASE) else probe
    lowered = slashed.lower()
    if slashed.startswith("//"):
        slashed = f"{rules.scheme}:{slashed}"
    elif not lowered.startswith(("http:", "https:")):
        return value
    scheme, _, rest = slashed.partition(":")
    # "http:///host" and "http:host/" name a host for a browser as well.
    slashed = f"{scheme.lower()}://{rest.lstrip('/')}"
    try:
        parts = urlsplit(slashed)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except ValueError:
        raise RedirectRefused(text[:200]) from None
    tail = parts.path or "/"
    tail += f"?{parts.query}" if parts.query else ""
    tail += f"#{parts.fragment}" if parts.fragment else ""
    if parts.scheme == rules.scheme and host == rules.host.lower() and port == rules.port:
        return (rules.public_origin + tail).encode("latin-1")
    public = urlsplit(rules.public_origin)
    if host == public.hostname and port == (public.port or DEFAULT_PORTS[public.scheme]):
        return (rules.public_origin + tail).encode("latin-1")
    sibling = rules.siblings.get(f"{parts.scheme}://{host}:{port}")
    if sibling is not None:
        return (sibling + tail).encode("latin-1")
    if host == rules.host.lower() or is_private(host):
        raise RedirectRefused(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200])
    return value


_LOCAL_NAMES = (".local", ".lan", ".internal", ".localhost", ".home.arpa")


def is_private(host: str) -> bool:
    """Whether `host` only means something on a LAN: private addresses, single-label and local names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # "0x7f.1", "2130706433": forms of IPv4 addresses that browsers understand.
        odd_number = re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", host) is not None
        return odd_number or "." not in host or host.endswith(_LOCAL_NAMES)
    return not address.is_global
