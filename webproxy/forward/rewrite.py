r"""A device's own addresses in text, replaced by public ones: literally, in a stream, right for every split. No I/O.

Pages that were written for one plant say `http://10.0.0.5:8080/api` in HTML, scripts and data. Found are addresses with
a scheme (http, https, ws, wss) or protocol-relative, as they stand, JSON-escaped (`http:\/\/`, also `\u002f`),
percent-encoded (`http%3A%2F%2F`, once or twice) and as HTML entities; the replacement is written the same way. An
address that a script puts together from pieces is not found.

INVARIANT: what `Replacer` gives for any split of a text is what `Addresses.replace` gives for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
CACHE_LIMIT = 512  # spellings of addresses remembered; a page uses two or three
MARKUP = 6  # bytes of the longest spelling of "/" or ":" (an HTML entity, a JSON escape)

_COLON = rb":|%3A|%253A|&#58;|&#x3A;|\\u003a"
_SLASH = rb"\\{0,3}/|%2F|%252F|&#47;|&#x2F;|\\u002f"
_SLASH_ALONE = rb"\\{0,3}/"
# What may not follow: more of a host name, a port, or the rest of "user@"; then it is another address.
_END = rb"(?![0-9A-Za-z_@-]|\.[0-9A-Za-z_-]|:|%3A|%253A|%40|&#58;|&#x3A;|\\u003a)"
# Before "//": the colon of another scheme, a path, a longer run of slashes.
_BEFORE = rb"(?<![0-9A-Za-z:/\\%._-])"
# All that an address and what is looked at behind it consist of.
_WITHIN = rb"[0-9A-Za-z:/\\%&#;.\[\]_-]"

Origin = tuple[str, str, int]  # scheme (http or https), host in lower case without brackets, port


def parse_origin(text: str) -> Origin:
    """The parts of "http://host[:port]"."""
    parts = urlsplit(text)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]


class Addresses:
    """Which of a device's origins are which public addresses; `scheme` is that of the pages themselves.

    `known` maps origins on the LAN to a public origin, or one with a path below which that service is found.
    """

    def __init__(self, known: Mapping[Origin, str], scheme: str, below: Mapping[str, str] | None = None) -> None:
        self._known = dict(known)
        self._scheme = scheme
        self._below = dict(below or {})  # paths, each standing for an origin of its own: see `back`
        self.hosts = frozenset(host for _, host, _ in known)
        self._tokens = [token.encode() for token in sorted(self.hosts)]
        self._plain = all(token == token.upper() for token in self._tokens)  # no letters: no case to fold
        self._pattern: re.Pattern[bytes] | None = None
        self._cache: dict[bytes, bytes] = {}
        # Longest address: scheme, colon, two slashes, host (its colons may be encoded), port; and what may not follow.
        longest = max((len(host.replace(":", " " * MARKUP)) + 2 * MARKUP for host in self.hosts), default=0)
        path = max((len(path.replace("/", " " * MARKUP)) for path in self._below), default=0)
        self.hold_limit = 5 + 3 * MARKUP + longest + MARKUP + 5 + path + MARKUP
        self._back: Addresses | None = None

    def find(self, scheme: str, host: str, port: int) -> str | None:
        """The public address of an origin on the LAN, None when it is none of the known ones."""
        return self._known.get((scheme, host, port))

    def may_contain(self, data: bytes) -> bool:
        """Whether `data` has a known host in it at all: a look that costs next to nothing."""
        folded = data if self._plain else data.lower()
        if any(token in folded for token in self._tokens):
            return True
        return any(b":" in token for token in self._tokens) and b"%" in data

    def replace(self, data: bytes) -> bytes:
        """`data` with every known address replaced."""
        if not self.may_contain(data):
            return data
        return self.pattern.sub(self.replacement, data)

    def replace_origins(self, data: bytes) -> bytes:
        """The same for content policies, where an address with a path would mean that path alone."""
        if not self.may_contain(data):
            return data

        def bare(match: re.Match[bytes]) -> bytes:
            new = self.replacement(match)
            return new if new == match[0] else b"/".join(new.split(b"/", 3)[:3])

        return self.pattern.sub(bare, data)

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Any address with one of the known hosts."""
        if self._pattern is None:
            hosts = b"|".join(_host_pattern(host) for host in sorted(self.hosts, key=len, reverse=True)) or rb"(?!)"
            self._pattern = re.compile(
                rb"(?:(?P<scheme>https?|wss?)(?P<colon>" + _COLON + rb")(?P<slash>" + _SLASH + rb")(?P=slash)"
                rb"|" + _BEFORE + rb"(?P<alone>" + _SLASH_ALONE + rb")(?P=alone))"
                rb"(?P<host>" + hosts + rb")(?:(?:" + _COLON + rb")(?P<port>[0-9]{1,5}))?" + _END
                + rb"(?P<path>" + (self._paths() or rb"(?!)") + rb")?",
                re.IGNORECASE,
            )  # fmt: skip
        return self._pattern

    def _paths(self) -> bytes:
        slash = rb"(?:" + _SLASH + rb")"
        found = (slash.join(re.escape(part.encode()) for part in path.split("/")) for path in self._below)
        return b"|".join(rb"(?:" + one + rb"(?![0-9A-Za-z-]))" for one in found)

    def replacement(self, match: re.Match[bytes]) -> bytes:
        """What stands for a match of `pattern`: itself when the port is another service's."""
        found = self._cache.get(match[0])
        if found is None:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[match[0]] = self._replacement(match)
        return found

    def _replacement(self, match: re.Match[bytes]) -> bytes:
        word = (match["scheme"] or self._scheme.encode()).decode().lower()
        scheme = word.replace("ws", "http", 1)
        host = _COLONS.sub(b":", match["host"]).decode().lower().strip("[]").replace("%5b", "").replace("%5d", "")
        port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
        public = self._known.get((scheme, host, port))
        if match["path"]:
            public = self._below[_SLASHES.sub(b"/", match["path"]).decode().lower()]
        if public is None:
            return match[0]
        if word.startswith("ws"):
            public = "ws" + public.removeprefix("http")
        if match["alone"]:
            return public.partition(":")[2].encode().replace(b"/", match["alone"])
        colon, slash = match["colon"], match["slash"]
        text = public.encode()
        if slash.startswith(b"%"):
            return text.replace(b":", colon).replace(b"/", slash)
        # Only the scheme's colon was written in a special way for its own sake.
        head, _, rest = text.partition(b":")
        return head + colon + rest.replace(b"/", slash)

    def back(self) -> Addresses:
        """The other way round: from public addresses to those on the LAN."""
        if self._back is None:
            known: dict[Origin, str] = {}
            below: dict[str, str] = {}
            for (scheme, host, port), public in self._known.items():
                name = f"[{host}]" if ":" in host else host
                private = f"{scheme}://{name}" + ("" if port == DEFAULT_PORTS[scheme] else f":{port}")
                path = urlsplit(public).path
                if path:
                    below.setdefault(path, private)
                else:
                    known.setdefault(parse_origin(public), private)
            self._back = Addresses(known, next(iter(known), ("http", "", 80))[0], below)
        return self._back


_COLONS = re.compile(_COLON, re.IGNORECASE)
_SLASHES = re.compile(_SLASH, re.IGNORECASE)


def _host_pattern(host: str) -> bytes:
    if ":" not in host:
        return re.escape(host.encode())
    inner = b"(?:" + _COLON + b")"
    return rb"(?:\[|%5B)" + inner.join(re.escape(part.encode()) for part in host.split(":")) + rb"(?:\]|%5D)"


# The beginning of an address that goes on in the next chunk. Where it ends with a quote, a bracket or a line, as a
# message does, nothing is held back.
_GROWS = re.compile(
    rb"(?:(?:h|ht|htt|https?|w|ws|wss)|(?:https?|wss?)[:%&\\]" + _WITHIN + rb"*"
    rb"|" + _BEFORE + rb"\\{0,3}(?:/\\{0,3})?|" + _BEFORE + rb"\\{0,3}/\\{0,3}/" + _WITHIN + rb"*)\Z",
    re.IGNORECASE,
)  # fmt: skip


class Replacer:
    """Replaces in a stream: `feed` and `finish` give the bytes that are decided. Holds back at most `hold_limit`."""

    __slots__ = ("_addresses", "_before", "_held")

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._held = b""
        self._before = b""  # the byte before what is held: whether "//" begins an address depends on it

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give what is decided."""
        if not data:
            return b""
        return self._decide(self._held + data if self._held else data, last=False)

    def finish(self) -> bytes:
        """The text is complete: the rest."""
        return self._decide(self._held, last=True) if self._held else b""

    def _decide(self, text: bytes, *, last: bool) -> bytes:
        addresses = self._addresses
        begin = len(self._before)
        buffer = self._before + text
        end = len(buffer)
        hold = end
        if not last:
            grows = _GROWS.search(buffer, max(begin, end - addresses.hold_limit))
            if grows is not None:
                hold = grows.start()
        at = begin
        pieces: list[bytes] = []
        if addresses.may_contain(buffer):
            for match in addresses.pattern.finditer(buffer, begin):
                start, stop = match.span()
                if start >= hold:
                    break
                pieces += (buffer[at:start], addresses.replacement(match))
                at = stop
        hold = max(hold, at)
        pieces.append(buffer[at:hold])
        self._held = buffer[hold:]
        self._before = buffer[max(0, hold - 1) : hold]
        return b"".join(pieces)
