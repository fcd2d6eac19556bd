"""The names of cookies at one origin: ours, and those of its device. No I/O.

Browsers keep one jar for all ports of a host, so where services have ports every cookie carries its port in its name,
behind a prefix that keeps scripts out: browsers that know ``__Http-`` let none set such a cookie, and HttpOnly, which
it demands, lets none read it. Otherwise a page of one machine could read and plant another's. Ours begin with
``__Host-Http-``, which to older browsers is ``__Host-``. A device's cookie `session` becomes
`__Http-p20001-1f3a~session` on its way to the browser, and `session` again on its way back; whatever has no such name
is another machine's, or a script's, and goes to no device. The hash is the service's: a port's next owner gets none.

Where services share one host below paths of their own, a longer hash of the service's label takes the port's place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# The browser's own rules hang on these (RFC 6265bis section 4.1.3; it compares them without case).
_HTTP, _HOST_HTTP = b"__Http-", b"__Host-Http-"
_HOST = b"__host-"


@dataclass(frozen=True, slots=True)
class Jar:
    """The names of our cookies at one origin; `prefix` stands before the names of the device's, if anything does."""

    session: bytes = b"__Host-pg"
    nonce: bytes = b"__Host-pgn-"
    landing: bytes = b"__Host-pgl"
    user: bytes = b"__Host-pgu"
    prefix: bytes = b""
    owner: str = ""

    @classmethod
    def at(cls, port: int, label: str) -> Jar:
        """The names at a port of the portal's host, whose service has the host label `label`."""
        number = b"%d" % port
        mark = hashlib.sha256(label.encode()).hexdigest()[:4].encode()
        return cls(
            b"__Host-Http-pg-" + number, b"__Host-Http-pgn-" + number + b"-", b"__Host-Http-pgl-" + number,
            b"__Host-Http-pgu-" + number, b"p%b-%b~" % (number, mark), label,
        )  # fmt: skip

    @classmethod
    def below(cls, label: str) -> Jar:
        """The names at the host that all services share, for the one with the host label `label`.

        64 bits of hash: nobody finds a second label with the same ones, to read the cookies of the first.
        """
        mark = hashlib.sha256(label.encode()).hexdigest()[:16].encode()
        return cls(
            b"__Host-Http-pg-" + mark, b"__Host-Http-pgn-" + mark + b"-", b"__Host-Http-pgl-" + mark,
            b"__Host-Http-pgu-" + mark, mark + b"~", label,
        )  # fmt: skip

    def split(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The session tokens in a request's cookies, and this device's cookies under the names it gave them."""
        tokens: list[bytes] = []
        own: list[bytes] = []
        for line in lines:
            for piece in line.split(b";"):
                name, equals, value = piece.strip(b" \t").partition(b"=")
                if name == self.session:
                    tokens.append(value)
                elif equals and (given := self._given(name)) is not None:
                    own.append(given + b"=" + value if given else value)
        return tokens, own

    def _given(self, name: bytes) -> bytes | None:
        """The name that this origin's device gave a cookie; None for every other cookie."""
        for stem in (_HTTP, _HOST_HTTP):
            if name.startswith(stem + self.prefix):
                return name[len(stem) + len(self.prefix) :]
        return None


NAMES = Jar()
"""Where every service has a host of its own: the host keeps cookies apart, and names stay as they are."""


def to_browser(prefix: bytes, pair: bytes) -> bytes:
    """A device's `name=value` as the browser keeps it; with a prefix the cookie must be Secure and HttpOnly.

    What the device called `__Host-...` stays bound to the host and the path "/".
    """
    if not prefix:
        return pair
    stem = _HOST_HTTP if pair[: len(_HOST)].lower() == _HOST else _HTTP
    return stem + prefix + (pair if b"=" in pair else b"=" + pair)
