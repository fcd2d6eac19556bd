"""Redirects and cookies of a device, read as a browser reads them: none leads onto a LAN, none is one of ours."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from panelgate.response import BadResponse, ResponseHead, ResponseReader
from webproxy.forward.headers import response_lines, split_cookies
from webproxy.forward.jar import NAMES, Jar
from webproxy.forward.redirects import RedirectRefused
from webproxy.forward.rules import Rules

_PUBLIC = "http://hmi--press--acme.apps.localhost:8080"
_CAMERA = {"http://10.0.0.5:9000": "http://cam--press--acme.apps.localhost:8080"}
_JAR = Jar.at(20001, "hmi--press--acme")
RULES: tuple[tuple[Rules, Jar], ...] = (
    (Rules.of(_PUBLIC, "http", "10.0.0.5", 8081, _CAMERA), NAMES),
    (
        Rules.of("https://hmi.apps.example", "https", "10.0.0.5", 443, {"http://10.0.0.5": "https://b.apps.example"}),
        NAMES,
    ),
    (Rules.of("https://portal.example:20001", "http", "10.0.0.5", 80, jar=_JAR), _JAR),
    (
        Rules.of(_PUBLIC, "http", "10.0.0.5", 8081, _CAMERA, companions={"http://10.0.0.5:9000": "cam"}).for_companion(
            "cam", "http://10.0.0.5:9000", Rules.of(_PUBLIC, "http", "10.0.0.5", 9000).options
        ),
        NAMES,
    ),
)
_NAMES = (b"Location", b"Refresh", b"Set-Cookie", b"Location")
_LOCAL = (".local", ".lan", ".internal", ".localhost", ".home.arpa")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")


def one(data: bytes) -> None:
    """The first byte chooses whose answer and which header; the rest is the header's value."""
    if not data:
        return
    rules, jar = RULES[data[0] & 3]
    head = _read(_NAMES[data[0] >> 2 & 3], data[1:])
    if head is None:
        return
    try:
        lines = response_lines(rules, head, set())
    except RedirectRefused:
        return
    for line in lines[:-1]:  # the last are ours, as they are
        assert line.endswith(b"\r\n")
        assert not re.search(rb"[\r\n\0]", line[:-2]), "a line in a line"
        name, _, value = line[:-2].partition(b": ")
        if name.lower() == b"location":
            leads_nowhere_private(rules, value)
        elif name.lower() == b"refresh":
            target = refreshed(value)
            if target is not None:
                leads_nowhere_private(rules, target)
        elif name.lower() == b"set-cookie":
            is_the_devices(jar, value)


def _read(name: bytes, value: bytes) -> ResponseHead | None:
    reader = ResponseReader()
    try:
        reader.feed(b"HTTP/1.1 302 Found\r\n" + name + b": " + value + b"\r\nContent-Length: 0\r\n\r\n")
    except BadResponse:
        return None
    return reader.head


# ---- as browsers read it


def leads_nowhere_private(rules: Rules, value: bytes) -> None:
    """A redirect to `value` stays at a public address of ours, or goes to the internet; and to no path of ours."""
    base_scheme, _, base_host = rules.public_origin.partition("://")
    found = address_of(value, base_scheme)
    if found is None:
        return
    host, port, path = found
    if host is None:
        steps = re.split(r"[/\\]", re.sub("%2e", ".", re.split(r"[?#]", path)[0], flags=re.IGNORECASE))
        companion = bool(rules.prefix) and path.encode().startswith(rules.prefix)
        assert companion or ".pg" not in steps, f"a path of ours: {value!r}"
        return
    public = {name.partition(":")[0] for name in rules.public_hosts} | {base_host.partition(":")[0]}
    assert host in public or not is_internal(host), f"{host} port {port} is on a LAN: {value!r}"


def address_of(value: bytes, base_scheme: str) -> tuple[str | None, str, str] | None:
    """(host, port, path); host None for one relative to the page; None where a browser goes nowhere (WHATWG URL)."""
    text = value.decode("utf-8", "replace").strip("".join(map(chr, range(33))))
    text = re.sub(r"[\t\n\r]", "", text)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is not None:
        if scheme[1].lower() not in ("http", "https"):
            return None  # nothing that a redirect may lead to
        rest = text[scheme.end() :]
        if scheme[1].lower() == base_scheme and not re.match(r"[/\\]{2}", rest):
            return None, "", rest  # the page's own scheme before a path says nothing
        rest = rest.lstrip("/\\")
    elif re.match(r"[/\\]{2}", text):
        rest = text.lstrip("/\\")
    else:
        return None, "", text
    authority = re.split(r"[/\\?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    name = authority.rpartition("@")[2]
    if name.startswith("["):
        inside, _, port = name[1:].partition("]")
        try:
            return str(ipaddress.IPv6Address(inside)), port.lstrip(":"), path
        except ValueError:
            return None
    name, _, port = name.partition(":")
    if not name or not re.fullmatch(r"[0-9]*", port):
        return None
    decoded = unicodedata.normalize("NFKC", unquote_to_bytes(name).decode("utf-8", "replace")).lower()
    decoded = decoded.replace("\u3002", ".").replace("\u00ad", "")
    if not decoded or re.search(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f\ufffd]", decoded):
        return None
    parts = decoded.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return decoded.removesuffix("."), port, path
    numbers = [_number(part) for part in parts]
    if len(parts) > 4 or None in numbers:
        return None
    *first, last = [number or 0 for number in numbers]
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    whole = last + sum(number << 8 * (3 - at) for at, number in enumerate(first))
    return str(ipaddress.IPv4Address(whole)), port, path


def _number(part: str) -> int | None:
    if not part.isalnum():
        return None  # what Python takes besides: signs and underscores
    try:
        if part[:2].lower() == "0x":
            return int(part[2:] or "0", 16)
        return int(part, 8) if part.startswith("0") and len(part) > 1 else int(part)
    except ValueError:
        return None


def is_internal(host: str) -> bool:
    """Whether `host` means something on a LAN only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)


def refreshed(value: bytes) -> bytes | None:
    """Where a Refresh leads; None when it is the page itself (HTML, shared declarative refresh steps)."""
    rest = value.lstrip(b"\t\f\r\n ").lstrip(b"0123456789.")
    rest = rest.lstrip(b"\t\f\r\n ")
    rest = rest[1:] if rest[:1] in (b";", b",") else rest
    rest = rest.lstrip(b"\t\f\r\n ")
    if not rest:
        return None
    named = re.match(rb"(?i)url[\t\f\r\n ]*=[\t\f\r\n ]*", rest)
    address = rest[named.end() :] if named else rest
    if address[:1] in (b"'", b'"'):
        address = address[1:].partition(address[:1])[0]
    return address


def is_the_devices(jar: Jar, value: bytes) -> None:
    """The cookie that a browser makes of `value` stays at this origin and comes back as the device's alone."""
    pair, *attributes = [part.strip(b" \t") for part in value.split(b";")]
    name, equals, content = pair.partition(b"=")
    name, content = (name.strip(b" \t"), content.strip(b" \t")) if equals else (b"", name.strip(b" \t"))
    assert not any(part.partition(b"=")[0].strip(b" \t").lower() == b"domain" for part in attributes), "another host's"
    sent = name + b"=" + content if name else content
    if jar.prefix:
        assert sent.startswith((b"__Http-" + jar.prefix, b"__Host-Http-" + jar.prefix)), "another port's"
        assert {b"secure", b"httponly"} <= {part.partition(b"=")[0].strip(b" \t").lower() for part in attributes}
    else:
        assert not sent.lower().startswith(b"__host-pg"), "one of ours"
    tokens, _ = split_cookies([sent], jar)
    assert not tokens, "it would come back as a sign-in"


def seeds() -> Iterator[bytes]:
    """Addresses and cookies in the ways that browsers understand and filters forget."""
    for place in range(len(RULES)):
        for value in (
            b"/x", b"http://10.0.0.5:8081/x?y#z", b"http://10.0.0.5:9000/", b"https://example.com/", b"//10.0.0.9/",
            b"\\\\10.0.0.9\\", b"http:10.0.0.9", b"http:/\\0x0a000009", b"http://127.1/", b"http://[::ffff:7f00:1]/",
            b"http://%31%30.0.0.9/", "http://１０。0.0.9/".encode(), b"http://user@10.0.0.9:80/", b"ht\ttp://intranet/",
            b"/a/../%2epg/reset", b"http://a.localhost./", b"https:plc\\.vendor.example/",
            b"http:plc\\.vendor.example/",
        ):  # fmt: skip
            yield bytes([place]) + value
            yield bytes([place | 4]) + b"0; url='" + value + b"'"
        for value in (
            b"a=b; Path=/; Domain=apps.localhost; Secure; HttpOnly", b"__Host-pg=x; Secure; Path=/", b"=__Host-pg=x",
            b" = __host-PG =x", b"__Host-pgn-1=x", b"__Host-a=b; Path=/; Secure; SameSite=None", b"x", b"__pgc-cam~a=b",
            b"__Host-Http-pg-20001=x; Secure; HttpOnly; Path=/",
        ):  # fmt: skip
            yield bytes([place | 8]) + value
