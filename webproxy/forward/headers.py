"""What changes in heads on their way: to the device (Host, Origin, Referer, Cookie) and back (redirects, cookies).

The device must believe that it is spoken to directly: Host, Origin and Referer all name its own address, and nothing
tells of a proxy. The browser must never be able to leave the service's origin by what the device answers, nor one
origin touch another's cookies. No I/O.
"""

from __future__ import annotations

import re

from panelgate.response import ResponseHead
from webproxy.forward.etags import mark_tag, unmark_tags
from webproxy.forward.jar import NAMES, Jar, to_browser
from webproxy.forward.redirects import RedirectRefused, location, refresh
from webproxy.forward.request import RequestHead
from webproxy.forward.rooted import field
from webproxy.forward.rules import Rules, private, referrer

OUR_PREFIX = b"__host-pg"  # every cookie of ours starts so, in lower case
SESSION_COOKIE = b"__Host-pg"
COOKIE_LIMIT = 16 * 1024  # bytes of cookies forwarded unseen; above, only those that this device set itself
COOKIE_NAMES_LIMIT = 200  # names remembered per session and service; browsers keep 180 per host
COMPANION_COOKIE = b"__pgc-"  # cookies of companions on other hosts: never for the service itself


class CookieTrouble(Exception):
    """More than one session cookie came: somebody tossed one from another origin."""


# ---- cookies of the browser


def split_cookies(lines: list[bytes], jar: Jar = NAMES) -> tuple[list[bytes], list[bytes]]:
    """The session tokens found, and the pairs that are the device's; our other cookies are left out."""
    if jar.prefix:
        return jar.split(lines)
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


def token_of(lines: list[bytes], jar: Jar = NAMES) -> str | None:
    """The session token of a request's cookies; None when there is none or more than one."""
    try:
        return session_token(split_cookies(lines, jar)[0])
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
    others = [pair for pair in others if not pair.lstrip(b"= ").startswith(COMPANION_COOKIE)]
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
    """The Referer the device sees: its own pages by their own address, any other as its root.

    What was asked for by a companion's style sheet or script names the companion.
    """
    public = rules.public
    if referer.startswith(public) and referer[len(public) : len(public) + 1] in (b"/", b"?", b""):
        path = referer[len(public) :]
        if not path.startswith(b"/.pg/"):
            return rules.upstream_origin + (path or b"/")
        for prefix, origin in rules.companions.items():
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"/", b"?", b""):
                return origin + (path[len(prefix) :] or b"/")
    return rules.upstream_origin + b"/"


def target_for(rules: Rules, target: bytes) -> bytes:
    """The target that the device sees: a companion's is what stands behind its prefix."""
    target = target[len(rules.prefix) :]
    return target if target[:1] == b"/" else b"/" + target


def request_bytes(
    rules: Rules, head: RequestHead, cookie: bytes, *, websocket: bool = False, client: str = ""
) -> bytes:
    """The request head for the device, from the sorted head and the finished Cookie header.

    `client` is the browser's address; the device gets it when the service's options say so.
    """
    target, lines = head.target, head.lines
    if rules.prefix:
        target = target_for(rules, target)
    if rules.touches:
        lines = rewritable(rules, lines)
    parts = [head.method, b" ", target, rules.request_fixed, *lines]
    if cookie:
        parts.append(cookie)
    if head.origin is not None and head.origin == rules.origin:
        parts.append(b"Origin: " + rules.upstream_origin + b"\r\n")
    if head.referer is not None:
        parts.append(b"Referer: " + referer_for(rules, head.referer) + b"\r\n")
    if head.site:
        # A cross-site navigation was allowed by us; to the device it is one that began in the address bar.
        site = head.site if head.site in (b"same-origin", b"none") else b"none"
        if rules.prefix and site == b"same-origin":
            site = b"same-site"
        parts.append(b"Sec-Fetch-Site: " + site + b"\r\n")
    if rules.options.forwarded:
        parts.append(b"X-Forwarded-For: " + client.encode("ascii", "replace") + b"\r\n")
    if head.service_worker:
        parts.append(b"Service-Worker: script\r\n")
    if websocket:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        return b"".join(parts)
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    parts.append(b"Connection: keep-alive\r\n\r\n")
    return b"".join(parts)


def rewritable(rules: Rules, lines: list[bytes]) -> list[bytes]:
    """The request's lines so that the answer can be read: gzip at most, no compressed frames, its own entity tags."""
    kept: list[bytes] = []
    encoding = b"identity"
    fresh = False
    for line in lines:
        name, _, value = line.partition(b":")
        if name == b"Accept-Encoding":
            if b"gzip" in value.lower():
                encoding = b"gzip"
        elif name == b"If-None-Match":
            tags = unmark_tags(rules, value.strip())
            fresh = not tags
            if tags:
                kept.append(b"If-None-Match: " + tags + b"\r\n")
        elif name != b"Sec-WebSocket-Extensions" or not rules.rewrite:
            kept.append(line)
    if fresh:
        # The browser's copy holds addresses of another time; by its date alone it would be called good.
        kept = [line for line in kept if line[:18].lower() != b"if-modified-since:"]
    return [*kept, b"Accept-Encoding: " + encoding + b"\r\n"]


# ---- response

_PASS, _DROP, _COOKIE, _LOCATION, _REFRESH, _ADDRESSES, _REFERRER, _CACHE, _POLICY, _WORKER, _CSP, _AUTH = range(12)
DROPPED = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"proxy-authentication-info", b"te",
    b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"clear-site-data", b"strict-transport-security",
    b"public-key-pins", b"public-key-pins-report-only", b"expect-ct", b"alt-svc", b"alt-used", b"nel", b"report-to",
    b"reporting-endpoints", b"cross-origin-resource-policy", b"cross-origin-opener-policy",
    b"cross-origin-opener-policy-report-only", b"origin-agent-cluster", b"x-robots-tag", b"set-login", b"origin-trial",
    b"accept-ch", b"critical-ch", b"proxy-status", b"http2-settings", b"timing-allow-origin",
    b"document-isolation-policy",
    b"use-as-dictionary", b"activate-storage-access",
    # Orders to a load balancer in front of us: to serve its own files instead, or to keep the page for everybody.
    b"x-accel-redirect", b"x-accel-expires", b"x-accel-limit-rate", b"x-accel-charset", b"x-sendfile",
    b"x-sendfile2", b"x-sendfile-temporary",
    b"x-lighttpd-send-file", b"x-lighttpd-send-tempfile", b"x-reproxy-url", b"x-reproxy-file", b"x-litespeed-location",
    b"x-litespeed-cache-control", b"surrogate-control", b"surrogate-key", b"edge-control", b"cdn-cache-control",
})  # fmt: skip
DROPPED_PREFIXES = (b"access-control-", b"secure-session-", b"sec-session-")
DROPPED_SUFFIX = b"-cdn-cache-control"  # RFC 9213: targeted at one operator's caches
_SHARED = (b"public", b"private")
_SPECIAL = {
    b"set-cookie": _COOKIE, b"set-cookie2": _DROP, b"location": _LOCATION, b"content-location": _ADDRESSES,
    b"refresh": _REFRESH, b"link": _ADDRESSES, b"sourcemap": _ADDRESSES, b"x-sourcemap": _ADDRESSES,
    b"speculation-rules": _ADDRESSES, b"content-security-policy": _CSP, b"permissions-policy": _POLICY,
    b"content-security-policy-report-only": _CSP, b"referrer-policy": _REFERRER, b"cache-control": _CACHE,
    b"service-worker-allowed": _WORKER, b"www-authenticate": _AUTH,
}  # fmt: skip
# What counts or hashes the bytes of a body, and so is wrong once they were rewritten.
_OF_BYTES = frozenset({
    b"content-encoding", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges", b"etag",
})  # fmt: skip
_kinds: dict[bytes, int] = {}


def _kind(key: bytes) -> int:
    kind = _SPECIAL.get(key)
    if kind is None:
        gone = key in DROPPED or key.startswith(DROPPED_PREFIXES) or key.endswith(DROPPED_SUFFIX)
        kind = _DROP if gone else _PASS
    if len(_kinds) >= 1024:
        _kinds.clear()
    _kinds[key] = kind
    return kind


def response_lines(rules: Rules, head: ResponseHead, names: set[bytes], *, rewritten: bool = False) -> list[bytes]:
    """The header lines for the browser, without framing; cookie names the device sets are added to `names`.

    `rewritten`: addresses in the body are replaced. RedirectRefused when the device sends the browser to a private
    address that is no service.
    """
    lines: list[bytes] = []
    replaced = rules.replaced
    has_referrer, has_cache = b"referrer-policy" in replaced, b"cache-control" in replaced
    connection = b"".join(value for key, _, value in head.headers if key == b"connection").lower()
    named = connection if connection not in (b"", b"close", b"keep-alive") else b""
    for key, name, value in head.headers:
        kind = _kinds.get(key)
        if kind is None:
            kind = _kind(key)
        if replaced and key in replaced:
            continue
        if kind == _PASS:
            if named and key in [token.strip() for token in named.split(b",")]:
                continue
            if rules.touches and key in _OF_BYTES:
                lines += of_bytes(rules, head, key, name, value, rewritten=rewritten)
                continue
            lines.append(name + b": " + value + b"\r\n")
        elif kind == _REFERRER:
            has_referrer = True
            # Where services share one host, the path tells whose page asks.
            lines.append(b"Referrer-Policy: " + (b"same-origin" if rules.root else referrer(value)) + b"\r\n")
        elif kind == _CACHE:
            has_cache = True
            lines.append(b"Cache-Control: " + private(value) + b"\r\n")
        elif kind != _DROP:
            found = _special(rules, head, kind, value, names)
            if found is not None:
                lines.append(name + b": " + found + b"\r\n")
    if not has_referrer:
        lines.append(b"Referrer-Policy: same-origin\r\n")
    if not has_cache:
        lines.append(b"Cache-Control: private\r\n")
    lines.append(rules.response_fixed)
    return lines


def _special(rules: Rules, head: ResponseHead, kind: int, value: bytes, names: set[bytes]) -> bytes | None:
    """The value of a header that may name addresses or set cookies; None when it doesn't pass."""
    if kind == _COOKIE:
        return set_cookie(
            value, secure=rules.secure, names=names, prefix=rules.prefix, rename=rules.foreign_cookies, own=rules.jar,
            root=rules.root,
        )  # fmt: skip
    if kind == _LOCATION:
        try:
            return location(rules, value)
        except RedirectRefused:
            if 300 <= head.status < 400:
                raise
            return None  # only a redirect leads anywhere
    if kind == _REFRESH:
        return refresh(rules, value)
    if kind in (_POLICY, _CSP):
        # Below a root a page gets a script of ours, which its own policy would forbid.
        return None if kind == _CSP and rules.root else rules.addresses.replace_origins(value)
    if kind == _AUTH:
        return realm(rules, value)
    if kind == _WORKER:
        return worker_scope(rules, value)
    if rules.prefix:
        return None
    value = rules.addresses.replace(value)
    return field(rules.root, value) if rules.root else value


_REALM = re.compile(rb'(\bBasic[ \t]+(?:charset="?[\w-]*"?[ \t]*,[ \t]*)?realm[ \t]*=[ \t]*"?)', re.IGNORECASE)


def realm(rules: Rules, value: bytes) -> bytes:
    """A challenge that no browser answers with the password of another service at the same host."""
    return _REALM.sub(lambda found: found[1] + rules.root[1:] + b".", value) if rules.root else value


def worker_scope(rules: Rules, value: bytes) -> bytes | None:
    """A Service-Worker-Allowed within this origin, where the service may install workers at all."""
    if not rules.options.service_workers or rules.prefix or rules.root:
        return None
    path = rules.addresses.replace(value).removeprefix(rules.public)
    return path if path[:1] == b"/" and path[1:2] not in (b"/", b"\\") else None


def of_bytes(
    rules: Rules, head: ResponseHead, key: bytes, name: bytes, value: bytes, *, rewritten: bool
) -> list[bytes]:
    """A header about a body's bytes, where bodies are rewritten."""
    if key == b"etag":
        if head.status == 304:
            return []  # the browser keeps the tag that it has
        value = mark_tag(rules, value) if rewritten else value
    elif rewritten:
        return []
    return [name + b": " + value + b"\r\n"]


def set_cookie(
    value: bytes,
    *,
    secure: bool,
    names: set[bytes],
    prefix: bytes = b"",
    rename: bytes = b"",
    own: bytes = b"",
    root: bytes = b"",
) -> bytes | None:
    """A device's cookie, tied to its own origin; None when it would be one of ours.

    Domain goes always, so that cookies of one service never reach another; with `secure` the cookie gets Secure.
    Companions stand below `prefix`. On the same host they share cookies with the page, as all ports of a host do; the
    cookies of one on another host are put below its prefix under names that begin with `rename`. `own` is what the
    origin's jar puts before all names; `root` is what its service stands below, where services share one host.
    """
    pair, *attributes = [part.strip(b" \t") for part in value.split(b";")]
    if pair.lstrip(b"= \t").lower().startswith(OUR_PREFIX):
        return None
    if pair.lstrip(b"= \t").startswith(COMPANION_COOKIE):  # without a name, its value would be sent back as one
        return None
    kept = [to_browser(own, rename + pair)]
    path = b"/" if prefix else b""
    has_secure = any(part.lower() == b"secure" for part in attributes)
    for part in attributes:
        key, _, setting = part.lower().partition(b"=")
        key = key.strip()
        if key == b"domain" or not part:
            continue
        if key == b"samesite" and setting.strip() == b"none" and not has_secure and not secure:
            continue
        if (prefix or root) and key == b"path":
            path = part.partition(b"=")[2].strip() or b"/"
            continue
        kept.append(part)
    if prefix and (rename or path != b"/"):
        path = prefix + path.rstrip(b"/") if path[:1] == b"/" else prefix
    if root and path:
        # What is bound to the host must name the path "/"; such a name says whose it is, too.
        path = b"/" if pair[:7].lower() == b"__host-" else root + path if path[:1] == b"/" else b""
    if path:
        kept.append(b"Path=" + path)
    if (secure or own) and not has_secure:
        kept.append(b"Secure")
    if own and not any(part.lower() == b"httponly" for part in attributes):
        kept.append(b"HttpOnly")
    if len(names) < COOKIE_NAMES_LIMIT:
        names.add(pair.partition(b"=")[0].strip(b" \t"))
    return b"; ".join(kept)
