"""Signing in on a service's origin by way of the portal: nonce cookie, launch, callback.

1. No session: a nonce goes into a cookie that only this origin can have set, and the browser to the portal's /launch
   with the nonce's hash. The way back travels in the cookie, so any web proxy can finish what another began.
2. The portal, where the user is signed in, gets a one-time code bound to session, host and hash.
3. /.pg/cb redeems the code with the cookie's nonce: a code in another browser, or at another host, is worth nothing.

No I/O here; `webproxy.forward.reserved` does the calls.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from panelgate.names import Sites
from webproxy.forward.headers import own_cookie
from webproxy.forward.jar import NAMES, Jar
from webproxy.forward.request import RequestHead
from webproxy.leads import mark_of

NONCE_SECONDS = 300  # to sign in with a second factor; after that the page begins anew by itself
LANDING_SECONDS = 60  # how long the arrival after a hand-off may take
PATH_LIMIT = 2048  # bytes of a return path; a longer one leads to the start page, since the cookie must fit
_FLAGS = b"; Path=/; Secure; HttpOnly; SameSite=Lax"

_CODE = re.compile(r"[A-Za-z0-9_.~-]{16,256}")
_STATE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Launch:
    """Where to send the browser, and the cookie that it takes along."""

    location: bytes
    cookie: bytes


@dataclass(frozen=True)
class Callback:
    """What a callback brought: the code, the hash of this browser's nonce, the way back."""

    code: str
    state: str
    nonce_hash: str
    path: bytes


def begin(sites: Sites, word: str, target: bytes, *, jar: Jar = NAMES, ask: bool = False) -> Launch:
    """Send a navigation to `target` (path and query) by way of the portal; `ask`: it lets the person confirm it.

    `word` names the origin at the portal (`Sites.word_of`).
    """
    nonce = secrets.token_hex(32)
    state = secrets.token_hex(8)
    if target.startswith(b"/.pg/") or len(target) > PATH_LIMIT:
        target = b"/"
    path = base64.urlsafe_b64encode(target).rstrip(b"=")
    words = {"host": word, "n": hashlib.sha256(nonce.encode()).hexdigest(), "state": state}
    if ask:
        words["ask"] = mark_of(word, target)
    query = urlencode(words)
    cookie = b"%b%b=%b.%b%b; Max-Age=%d" % (
        jar.nonce, state.encode(), nonce.encode(), path, _FLAGS, NONCE_SECONDS
    )  # fmt: skip
    return Launch(f"{sites.portal_origin}/launch?{query}".encode(), cookie)


def read_callback(query: bytes, cookies: list[bytes], jar: Jar = NAMES) -> Callback | None:
    """A callback's parts, when they belong to this browser; None otherwise."""
    try:
        fields = parse_qsl(query.decode("ascii"), strict_parsing=True, max_num_fields=4)
    except ValueError:
        return None
    values = dict(fields)
    code, state = values.get("code", ""), values.get("state", "")
    if len(values) != len(fields) or not _CODE.fullmatch(code) or not _STATE.fullmatch(state):
        return None
    value = own_cookie(cookies, jar.nonce + state.encode())
    if value is None:
        return None
    nonce, dot, packed = value.partition(b".")
    if not dot or len(nonce) != 64:
        return None
    return Callback(code, state, hashlib.sha256(nonce).hexdigest(), _path(packed))


def _path(packed: bytes) -> bytes:
    """The way back: only ever a path on this origin."""
    try:
        path = base64.b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b"/"
    plain = re.fullmatch(rb"/(?![/\\])[\x21\x22\x24-\x7e]*", path)
    return path if plain and not path.startswith(b"/.pg/") else b"/"


def expected(head: RequestHead, word: str, jar: Jar = NAMES) -> bool:
    """Whether a navigation from elsewhere belongs to a hand-off: the callback itself, or the page it leads to."""
    if head.path == b"/.pg/cb":
        return True
    value = own_cookie(head.cookies, jar.landing)
    return value is not None and secrets.compare_digest(value, mark_of(word, head.target).encode())


def forget_session(jar: Jar = NAMES) -> bytes:
    """The header line that takes the session cookie away."""
    return b"Set-Cookie: " + jar.session + b"=; Max-Age=0" + _FLAGS + b"\r\n"


def signed_in_lines(
    callback: Callback,
    word: str,
    token: str,
    user_id: str,
    cookies: list[bytes],
    jar: Jar = NAMES,
    prefix: bytes = b"",
) -> bytes:
    """The header lines that end a hand-off: session cookie, landing cookie, nonce gone, the way back.

    When another user was signed in on this origin before, or another service had its port, the browser forgets what
    it kept of them first. `prefix` is what stands before the way back, where services share one host.
    """
    user = hashlib.sha256(f"{jar.owner}{user_id}".encode()).hexdigest()[:16].encode()
    before = own_cookie(cookies, jar.user)
    lines = [
        b"Location: " + prefix + callback.path,
        b"Set-Cookie: " + jar.session + b"=" + token.encode("ascii") + _FLAGS,
        b"Set-Cookie: %b%b=; Max-Age=0%b" % (jar.nonce, callback.state.encode(), _FLAGS),
        b"Set-Cookie: %b=%b; Max-Age=31536000%b" % (jar.user, user, _FLAGS),
    ]
    if b"?" in callback.path:
        mark = mark_of(word, callback.path).encode()
        lines.append(b"Set-Cookie: %b=%b; Max-Age=%d%b" % (jar.landing, mark, LANDING_SECONDS, _FLAGS))
    if before is not None and before != user:
        lines.append(b'Clear-Site-Data: "cache", "storage"')
    return b"\r\n".join(lines) + b"\r\n"
