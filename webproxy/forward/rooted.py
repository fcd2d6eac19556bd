"""Addresses that begin with "/", for services that stand below a path: in headers, attributes and style sheets. No I/O.

INVARIANT: what `Styles` gives for any split of a style sheet is what it gives for the whole.
"""

from __future__ import annotations

import re

SPACES = 16  # at most so many are looked over between "url(" and its address

_SPACE = b" \t\n\f\r"
# HTML keeps the quotes of a style attribute as entities.
_QUOTE = rb"""(?:["']|&quot;|&#3[49];|&apos;)"""
_ADDRESS = re.compile(
    rb"(?:\burl\([ \t\n\f\r]{0,%d}%b?|@import[ \t\n\f\r]{1,%d}%b)(?=/[^/\\])" % (SPACES, _QUOTE, SPACES, _QUOTE),
    re.IGNORECASE,
)  # fmt: skip
_HOLD = len("@import") + SPACES + len("&quot;") + 2  # bytes of the longest match, and what is looked at behind it
_IN_LINK = re.compile(rb"<[ \t]*(?=/(?![/\\]))")


def below(root: bytes, address: bytes) -> bytes:
    """An address of a device's page, as it is reached below `root`; what doesn't begin with one "/" stays as it is."""
    bare = address.lstrip(_SPACE)
    if bare[:1] != b"/" or bare[1:2] in (b"/", b"\\") or bare == root or bare.startswith(root + b"/"):
        return address
    return root + bare


def candidates(root: bytes, value: bytes) -> bytes:
    """A srcset: addresses with descriptors, between commas (HTML, "parsing a srcset attribute")."""
    return re.sub(rb"((?:\A|,)[ \t\n\f\r]*)(/[^ \t\n\f\r,]*)", lambda found: found[1] + below(root, found[2]), value)


def field(root: bytes, value: bytes) -> bytes:
    """A header that is an address (Content-Location, SourceMap) or has some between angle brackets (Link)."""
    if value.startswith(b"/"):
        return below(root, value)
    return _IN_LINK.sub(lambda found: found[0] + root, value)


def style(root: bytes, text: bytes) -> bytes:
    """A whole style sheet, or the value of a style attribute."""
    return _ADDRESS.sub(lambda found: found[0] + root, text)


class Styles:
    """A style sheet in a stream; holds back a few bytes."""

    __slots__ = ("_before", "_held", "_root")

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._held = b""
        self._before = b""  # the byte before what is held: "url" may be the end of a longer name

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give what is decided."""
        return self._decide(data, last=False)

    def finish(self) -> bytes:
        """The text is complete: the rest."""
        return self._decide(b"", last=True)

    def _decide(self, data: bytes, *, last: bool) -> bytes:
        begin = len(self._before)
        buffer = self._before + self._held + data
        hold = len(buffer) if last else max(begin, len(buffer) - _HOLD)
        pieces: list[bytes] = []
        at = begin
        for found in _ADDRESS.finditer(buffer, begin):
            if found.start() >= hold:
                break
            pieces += (buffer[at : found.end()], self._root)
            at = found.end()
        hold = max(hold, at)
        pieces.append(buffer[at:hold])
        self._held, self._before = buffer[hold:], buffer[max(0, hold - 1) : hold]
        return b"".join(pieces)
