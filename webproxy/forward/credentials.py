"""Signing in at the device with the user and password that are stored for a service: Basic and Digest. No I/O.

The browser sees neither the password nor the device's challenge. RFC 7617 (Basic), RFC 7616 and, for old devices
without qop, RFC 2069 (Digest). httpx has a Digest client too; it hashes the address as httpx writes it, and forgets
nextnonce, while devices compare what is hashed with the bytes they got.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from panelgate.log import Secret
from panelgate.response import ResponseHead
from webproxy.forward.amend import amended, target_of

Credentials = tuple[str, Secret]

NONCE_LIMIT: Final = 2048  # bytes of a nonce, realm or opaque; real ones have some 50
REFUSED_SECONDS: Final = 30.0  # a page asks for forty files: a wrong password must not lock the account at the device
HIDDEN: Final = frozenset({b"www-authenticate", b"authentication-info"})  # of the device's answers: see `shown`

_AUTHORIZATION: Final = frozenset({b"authorization"})
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAM = re.compile(rb"(" + _TOKEN + rb')[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))[ \t]*(?=,|$)')
_SCHEME = re.compile(rb"(" + _TOKEN + rb")(?:[ \t]+([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$))?[ \t]*")
_SKIP = re.compile(rb"[ \t,]*")


@dataclass
class Challenge:
    """One challenge of a WWW-Authenticate header: scheme and parameter names in lower case, values without quotes."""

    scheme: bytes
    token: bytes = b""
    params: dict[bytes, bytes] = field(default_factory=dict)


def challenges(head: ResponseHead) -> list[Challenge]:
    """All challenges of a response (RFC 9110 section 11.6.1): several headers, several in one, or both."""
    found: list[Challenge] = []
    for value in head.values(b"www-authenticate"):
        found += _split(value)
    return found


def _split(value: bytes) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while True:
        at = _at_end(_SKIP, value, at)
        if at >= len(value):
            return found
        param = _PARAM.match(value, at) if found else None
        if param is not None:
            name, quoted, plain = param.groups()
            found[-1].params.setdefault(name.lower(), quoted if quoted is not None else plain)
            at = param.end()
            continue
        scheme = _SCHEME.match(value, at)
        if scheme is not None:
            found.append(Challenge(scheme[1].lower(), scheme[2] or b""))
            at = scheme.end()
        else:
            comma = value.find(b",", at)
            at = len(value) if comma < 0 else comma


def _at_end(pattern: re.Pattern[bytes], value: bytes, at: int) -> int:
    match = pattern.match(value, at)
    return at if match is None else match.end()


def shown(head: ResponseHead) -> ResponseHead:
    """`head` without what belongs to our own sign-in.

    A challenge would make the browser ask for a password, and rspauth lets a page try passwords at leisure.
    """
    kept = [row for row in head.headers if row[0] not in HIDDEN]
    if len(kept) == len(head.headers):
        return head
    made = ResponseHead(head.version, head.status, head.reason)
    made.headers, made.framing, made.length = kept, head.framing, head.length
    return made


class Verdict(enum.Enum):
    """What a 401 means."""

    PASS = "pass"  # noqa: S105  not a challenge for us: the page's own business
    AGAIN = "again"  # ask once more, signed
    REFUSED = "refused"  # user or password are wrong
    OTHER = "other"  # the device wants another kind of sign-in than the one that is set up


class SignIn:
    """Signs the requests of one visit. INVARIANT: nothing of it but `signed` reveals the password."""

    def __init__(self, scheme: Literal["basic", "digest"], make_cnonce: Callable[[], str] | None = None) -> None:
        self.scheme = scheme
        self._digest = Digest(make_cnonce or (lambda: secrets.token_hex(12))) if scheme == "digest" else None
        self._refused: tuple[float, Credentials | None] | None = None

    @property
    def replays(self) -> bool:
        """Whether an unsigned request may have to be sent again, with its body."""
        return self._digest is not None

    @property
    def ready(self) -> bool:
        """Whether the next request goes out signed."""
        return self._digest is None or self._digest.nonce != b""

    def signed(self, request: bytes, credentials: Credentials | None) -> bytes:
        """`request` (a whole head) with our Authorization in place of the browser's, as far as one can be made yet."""
        line = b""
        if credentials is not None:
            if self._digest is None:
                line = b"Authorization: " + basic(credentials) + b"\r\n"
            elif self._digest.nonce:
                line = b"Authorization: " + self._digest.header(*target_of(request), credentials) + b"\r\n"
        return amended(request, _AUTHORIZATION, line)

    def judge(self, head: ResponseHead, *, last: bool) -> Verdict:
        """What to do about a 401; `last`: this request was asked again already."""
        offered = challenges(head)
        if not offered:
            return Verdict.PASS
        if self._digest is None:
            return Verdict.REFUSED if any(one.scheme == b"basic" for one in offered) else Verdict.OTHER
        digests = [one for one in offered if one.scheme == b"digest"]
        if not digests:
            return Verdict.OTHER
        if not self._digest.challenged(digests):
            return Verdict.OTHER
        return Verdict.REFUSED if last else Verdict.AGAIN

    def learn(self, head: ResponseHead) -> None:
        """Take the next nonce along that a good answer may bring (RFC 7616 section 3.5)."""
        if self._digest is not None:
            self._digest.learn(head)

    def note_refused(self, credentials: Credentials | None, now: float) -> None:
        """The device refused these: files of a page need not try them again for a while; `now` in monotonic seconds."""
        self._refused = (now, credentials)

    def is_refused(self, credentials: Credentials | None, now: float) -> bool:
        """Whether these were refused a moment ago."""
        refused = self._refused
        return refused is not None and refused[1] == credentials and now - refused[0] < REFUSED_SECONDS


def basic(credentials: Credentials) -> bytes:
    """The value of Authorization for Basic, in UTF-8 as browsers send it."""
    user, password = credentials
    return b"Basic " + base64.b64encode(f"{user}:{password.reveal()}".encode())


# ---- Digest

_Hash = Callable[[bytes], bytes]


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


# The strongest comes first.
_ALGORITHMS: Final[dict[bytes, tuple[_Hash, bool]]] = {
    b"sha-256": (_sha256, False), b"sha-256-sess": (_sha256, True), b"md5": (_md5, False), b"md5-sess": (_md5, True),
}  # fmt: skip
_RANK: Final = list(_ALGORITHMS)


class Digest:
    """The client's side of Digest for one protection space."""

    def __init__(self, make_cnonce: Callable[[], str]) -> None:
        self._make_cnonce = make_cnonce
        self.nonce = b""
        self._params: dict[bytes, bytes] = {}
        self._hash: _Hash = _md5
        self._session = False
        self._qop = False
        self._count = 0
        self._cnonce = b""

    def challenged(self, offered: list[Challenge]) -> bool:
        """Use the best of the challenges; False when none is one that is spoken here (auth-int alone, say)."""
        usable = [one for one in offered if _usable(one.params)]
        if not usable:
            return False
        params = min((one.params for one in usable), key=lambda params: _RANK.index(_algorithm(params)))
        self._params = params
        self._hash, self._session = _ALGORITHMS[_algorithm(params)]
        self._qop = bool(params.get(b"qop"))
        self._begin(params[b"nonce"])
        return True

    def _begin(self, nonce: bytes) -> None:
        self.nonce = nonce
        self._count = 0
        # One for all requests with this nonce: -sess hashes the first one into the key (RFC 7616 section 3.4.2).
        self._cnonce = self._make_cnonce().encode()

    def learn(self, head: ResponseHead) -> None:
        """Authentication-Info's nextnonce, when there is one."""
        for value in head.values(b"authentication-info"):
            for one in _split(b"info " + value):
                nonce = one.params.get(b"nextnonce", b"")
                if self.nonce and nonce and nonce != self.nonce and len(nonce) <= NONCE_LIMIT:
                    self._begin(nonce)

    def header(self, method: bytes, target: bytes, credentials: Credentials) -> bytes:
        """The value of Authorization for a request with exactly this method and target (RFC 7616 section 3.4)."""
        user, password = credentials
        params, digest = self._params, self._hash
        realm = params[b"realm"]
        utf8 = params.get(b"charset", b"").lower() == b"utf-8"
        name, secret = _bytes(user, utf8=utf8), _bytes(password.reveal(), utf8=utf8)
        a1 = b"%b:%b:%b" % (name, realm, secret)
        key = digest(a1)
        if self._session:
            key = digest(b"%b:%b:%b" % (key, self.nonce, self._cnonce))
        a2 = digest(b"%b:%b" % (method, target))
        quoted = name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        if params.get(b"userhash", b"").lower() == b"true":
            quoted = digest(b"%b:%b" % (name, realm))
        parts = [
            b'username="%b"' % quoted, b'realm="%b"' % realm, b'nonce="%b"' % self.nonce, b'uri="%b"' % target,
        ]  # fmt: skip
        if self._qop:
            self._count += 1
            count = b"%08x" % self._count
            response = digest(b":".join([key, self.nonce, count, self._cnonce, b"auth", a2]))
            parts += [b'response="%b"' % response, b"qop=auth", b"nc=" + count, b'cnonce="%b"' % self._cnonce]
        else:
            response = digest(b":".join([key, self.nonce, a2]))
            parts.append(b'response="%b"' % response)
            if self._session:
                parts.append(b'cnonce="%b"' % self._cnonce)
        if b"algorithm" in params:
            parts.append(b"algorithm=" + params[b"algorithm"])
        if b"opaque" in params:
            parts.append(b'opaque="%b"' % params[b"opaque"])
        if params.get(b"userhash", b"").lower() == b"true":
            parts.append(b"userhash=true")
        return b"Digest " + b", ".join(parts)


def _algorithm(params: dict[bytes, bytes]) -> bytes:
    return params.get(b"algorithm", b"md5").lower()


def _usable(params: dict[bytes, bytes]) -> bool:
    if b"realm" not in params or not params.get(b"nonce") or _algorithm(params) not in _ALGORITHMS:
        return False
    if any(len(value) > NONCE_LIMIT for value in params.values()):
        return False
    return not params.get(b"qop") or b"auth" in {part.strip().lower() for part in params[b"qop"].split(b",")}


def _bytes(text: str, *, utf8: bool) -> bytes:
    """In the charset the device named, else in the old one where that can say it."""
    if utf8:
        return text.encode()
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
