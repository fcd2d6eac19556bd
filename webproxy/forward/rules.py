"""What one service's heads and bodies are rewritten by, made once a visit so that the hot path only joins. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from panelgate.options import DEFAULTS, ServiceOptions, never_set
from webproxy.forward.jar import NAMES, Jar
from webproxy.forward.rewrite import DEFAULT_PORTS, Addresses, Origin, parse_origin

COMPANIONS = "/.pg/companion/"

_RESPONSE_FIXED: tuple[tuple[str, str], ...] = (
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Origin-Agent-Cluster", "?1"),
    ("X-Robots-Tag", "noindex"),
)
# Framesets are common on panels, so a service may frame itself; nobody else may (clickjacking). A policy of the
# device's or the administrator's stands beside it: browsers obey both, so neither can loosen this one.
_FRAMES = b"Content-Security-Policy: frame-ancestors 'self'\r\n"
# What a companion answers is for scripts, pictures and styles. Shown as a page, it must not run as the service's own.
_SANDBOX = b"Content-Security-Policy: sandbox; frame-ancestors 'none'\r\n"


@dataclass(frozen=True)
class Rules:
    """Rules of one service for one user's visit. For a companion, `prefix` is the path it stands below.

    Where services share one host, `root` is the path that the service stands below, and that its device never sees.
    """

    public_origin: str
    scheme: str
    host: str
    port: int
    addresses: Addresses
    public_hosts: Mapping[str, str]  # public host[:port] of this service and its siblings, to their origins
    options: ServiceOptions = DEFAULTS

    # Bytes made once.
    authority: bytes = b""
    upstream_origin: bytes = b""  # what Origin and Referer name
    public: bytes = b""  # the public origin, with the root
    origin: bytes = b""  # without it: what browsers write in Origin
    request_fixed: bytes = b""
    response_fixed: bytes = b""
    replaced: frozenset[bytes] = frozenset()  # names of the device's headers that the options replace
    secure: bool = False
    rewrite: bool = False
    touches: bool = False  # whether any bodies are changed: `rewrite`, or a root that goes into pages
    mark: bytes = b""  # of this set of addresses: entity tags of rewritten bodies carry it
    companions: Mapping[bytes, bytes] = field(default_factory=dict)  # path prefix to the origin that is there
    prefix: bytes = b""
    root: bytes = b""
    outer: bytes = b""  # what stands before the device's paths in the browser: root and prefix
    jar: bytes = b""  # put before the names of all cookies, where origins share a host
    foreign_cookies: bytes = b""  # put before the names of a companion's cookies when it is another host

    @classmethod
    def of(
        cls, public_origin: str, scheme: str, host: str, port: int, siblings: Mapping[str, str] | None = None,
        options: ServiceOptions = DEFAULTS, companions: Mapping[str, str] | None = None, jar: Jar = NAMES,
        root: str = "",
    ) -> Rules:  # fmt: skip
        """Rules of the service at `scheme`://`host`:`port` that browsers see at `public_origin`.

        `siblings` maps origins on the device's LAN to public origins, `companions` such origins to slugs.
        `jar` names the cookies of this origin. `root` is the path below it; public addresses of siblings have theirs.
        """
        host = host.lower()
        own = (scheme, host, port)
        authority, names = _names(own, options.host)
        base = public_origin + root
        known: dict[Origin, str] = dict.fromkeys(names, base)
        for origin, public in (siblings or {}).items():
            slug = (companions or {}).get(origin)
            where = public if slug is None else f"{base}{COMPANIONS}{slug}"
            sibling = parse_origin(origin)
            known.setdefault(sibling, where)
            if sibling[1] == host:
                # A device that is told another name for itself says that name for its other ports as well.
                for _, name, _ in names:
                    known.setdefault((sibling[0], name, sibling[2]), where)
        prefixes = {(COMPANIONS + slug).encode(): _bare(origin).encode() for origin, slug in (companions or {}).items()}
        secure = public_origin.startswith("https:")
        made = cls(
            public_origin, scheme, host, port, Addresses(known, scheme),
            {public_origin.partition("//")[2]: base} if root
            else {origin.partition("//")[2]: origin for origin in (public_origin, *(siblings or {}).values())},
            public=base.encode(), origin=public_origin.encode(), secure=secure, jar=jar.prefix,
            rewrite=options.rewrite, touches=options.rewrite or bool(root), companions=prefixes,
            root=root.encode(), outer=root.encode(),
            mark=hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:8].encode(),
        )  # fmt: skip
        return _compiled(made, options, authority, authority, _FRAMES)

    def for_companion(self, slug: str, origin: str, options: ServiceOptions) -> Rules:
        """Rules of the service at `origin` on the LAN, as this service's pages call it.

        It gets what it would get at the plant: its own name in Host, the asking page's in Origin and Referer.
        """
        scheme, host, port = parse_origin(origin)
        authority, _ = _names((scheme, host, port), options.host)
        foreign = b"" if host == self.host else b"__pgc-%b~" % slug.encode()  # no slug has a "~"
        base = replace(
            self, scheme=scheme, host=host, port=port, prefix=(COMPANIONS + slug).encode(), foreign_cookies=foreign,
            outer=self.root + (COMPANIONS + slug).encode(),
        )  # fmt: skip
        page = self.upstream_origin.decode().partition("//")[2]
        made = _compiled(base, options, authority, page, _SANDBOX)
        return replace(made, upstream_origin=self.upstream_origin)


_SHARED = (b"public", b"private")


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


def referrer(value: bytes) -> bytes:
    """A Referrer-Policy under which browsers still say where the page's own forms come from.

    With no-referrer they send "Origin: null", which nobody could then check.
    """
    return b"same-origin" if b"no-referrer" in value.lower().split(b",")[-1].split() else value


def _harmless(name: str, value: str) -> str:
    """The value of a header that the options add, held to what a device's own is held to."""
    made = {"cache-control": private, "referrer-policy": referrer}.get(name.lower())
    return made(value.encode("latin-1")).decode("latin-1") if made else value


def _compiled(rules: Rules, options: ServiceOptions, authority: str, page: str, policy: bytes) -> Rules:
    request = [f" HTTP/1.1\r\nHost: {authority}\r\n"]
    if options.forwarded:
        scheme, _, host = rules.public_origin.partition("://")
        request.append(f"X-Forwarded-Host: {host}\r\nX-Forwarded-Proto: {scheme}\r\n")
    extra = {name.lower(): (name, value) for name, value in options.headers if not never_set(name.lower())}
    lines = [f"{name}: {_harmless(name, value)}\r\n" for name, value in extra.values()]
    lines += [f"{name}: {value}\r\n" for name, value in _RESPONSE_FIXED if name.lower() not in extra]
    fixed = "".join(lines).encode("latin-1") + policy
    if rules.secure:
        fixed += b"Strict-Transport-Security: max-age=31536000\r\n"
    return replace(
        rules, options=options, authority=authority.encode(), upstream_origin=f"{rules.scheme}://{page}".encode(),
        request_fixed="".join(request).encode(), response_fixed=fixed,
        replaced=frozenset(name.encode() for name in extra),
    )  # fmt: skip


def _bare(origin: str) -> str:
    """An origin as a browser writes it: without the default port."""
    scheme, host, port = parse_origin(origin)
    return f"{scheme}://{_authority(scheme, host, port)}"


def _authority(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"


def _names(own: Origin, override: str) -> tuple[str, list[Origin]]:
    """(what Host says, all origins that mean this service)."""
    scheme, _, port = own
    if not override:
        return _authority(*own), [own]
    _, name, named_port = parse_origin(f"{scheme}://{override.lower()}")
    # Without a port of its own the name may come back with the default port or the real one.
    return override, list(dict.fromkeys([own, (scheme, name, named_port), (scheme, name, port)]))
