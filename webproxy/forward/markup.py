"""HTML on its way to the browser, for services that stand below a path: its addresses get the path in front. No I/O.

Attributes that hold addresses, style attributes and style elements are changed; scripts are not read. A page that is
shown also gets a script of ours at the head, which does the same for the addresses that its own scripts make
(static/js/below.js), and loses the policies that would forbid it.

Read as browsers read it (HTML, "tokenization"), as far as a tag's end and its attributes depend on it.

INVARIANT: what `Markup` gives for any split of a text is what it gives for the whole.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from webproxy.forward import rooted
from webproxy.forward.bodies import is_text
from webproxy.forward.rooted import Styles
from webproxy.pages.assets import address
from webproxy.pages.templates import SERVICE_BASE

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.forward.bodies import Rewriter
    from webproxy.forward.request import RequestHead

TAG_LIMIT = 32 * 1024  # bytes of one tag that are held; a longer one, with a picture in it, passes as it is
SHIM = "js/below.js"

_SPACE = b" \t\n\f\r"
_GAP = re.compile(rb"[ \t\n\f\r/]*")
_NAME = re.compile(rb"=?[^ \t\n\f\r/>=]*")
_EQUALS = re.compile(rb"[ \t\n\f\r]*=[ \t\n\f\r]*")
_BARE = re.compile(rb"[^ \t\n\f\r>]*")
_TAG = re.compile(rb"</?([A-Za-z][^ \t\n\f\r/>]*)")
_ADDRESSES = frozenset({
    b"src", b"href", b"action", b"formaction", b"poster", b"background", b"xlink:href", b"longdesc", b"manifest",
    b"cite", b"codebase", b"archive", b"lowsrc", b"dynsrc",
})  # fmt: skip
_SETS = frozenset({b"srcset", b"imagesrcset"})
# Their content is text until their own end tag.
_RAW = frozenset({b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes"})
_POLICIES = frozenset({b"content-security-policy", b"content-security-policy-report-only"})
_REFRESH = re.compile(rb"([ \t]*[0-9.]*[ \t]*[;,]?[ \t]*(?:url[ \t]*=[ \t]*)?[\"']?)(/.*)", re.IGNORECASE | re.DOTALL)
_HTML = re.compile(rb"[ \t]*(?:text/html|application/xhtml\+xml|image/svg\+xml)[ \t]*(?:;|\Z)", re.IGNORECASE)
_CSS = re.compile(rb"[ \t]*text/css[ \t]*(?:;|\Z)", re.IGNORECASE)


def kind_of(head: ResponseHead) -> str:
    """Whether this response's body is "html" or "css"; nothing for all else."""
    kinds = head.values(b"content-type")
    if not kinds or not is_text(head):
        return ""
    return "html" if _HTML.match(kinds[-1]) else "css" if _CSS.match(kinds[-1]) else ""


def shim(root: bytes, script: str) -> bytes:
    """What goes to the head of a page below `root`: our script, and the map by which modules find each other.

    No script can see to a module's imports; a map can (HTML, "import maps").
    """
    path = root.decode()
    known = {"/": f"{path}/", f"{path}/": f"{path}/", "/.pg/static/": "/.pg/static/"}
    return (
        f'<script src="{html.escape(script)}" data-root="{html.escape(path)}"></script>'
        f'<script type="importmap">{json.dumps({"imports": known})}</script>'
    ).encode()


class _Attribute(NamedTuple):
    """A name in lower case; where in the tag the attribute begins and ends, and its value (`first`, `last`)."""

    name: bytes
    begin: int
    first: int
    last: int
    end: int


class Markup:
    """One HTML text. `shim`: what a page gets at its head, nothing for a text that is no page of its own."""

    __slots__ = ("_attributes", "_held", "_raw", "_root", "_scanned", "_shim", "_styles")

    def __init__(self, root: bytes, shim: bytes = b"") -> None:
        self._root = root
        self._shim = shim
        self._held = b""
        self._raw = b""  # the element whose text this is, or "--" in a comment
        self._styles: Styles | None = None
        # How far an unfinished tag was read: what comes of it byte by byte is not read again from its beginning.
        self._scanned = 0
        self._attributes: list[_Attribute] = []

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give what is decided."""
        return self._decide(self._held + data if self._held else data, last=False)

    def finish(self) -> bytes:
        """The text is complete: the rest."""
        return self._decide(self._held, last=True)

    def _decide(self, text: bytes, *, last: bool) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(text):
            went = self._within(text, at, out, last=last) if self._raw else self._markup(text, at, out, last=last)
            if went < 0:
                break
            at = went
        self._held = text[at:]
        if last:
            out.append(self._held)
            self._held = b""
        return b"".join(out)

    # ---- text

    def _within(self, text: bytes, at: int, out: list[bytes], *, last: bool) -> int:
        """Text of an element that has no tags in it, or of a comment: how far it goes, -1 for more bytes."""
        end = _end_of(self._raw).search(text, at)
        if end is not None:
            stop = end.end() if self._raw == b"--" else end.start()
            self._text(text[at:stop], out, last=True)
            self._raw = b""
            return stop
        stop = len(text) if last else max(at, len(text) - len(self._raw) - 3)
        self._text(text[at:stop], out, last=last)
        return stop if stop > at else -1

    def _text(self, text: bytes, out: list[bytes], *, last: bool) -> None:
        styles = self._styles
        if styles is None:
            out.append(text)
            return
        out.append(styles.feed(text))
        if last:
            out.append(styles.finish())
            self._styles = None

    def _markup(self, text: bytes, at: int, out: list[bytes], *, last: bool) -> int:
        """Text up to the next tag, or a tag: how far it goes, -1 for more bytes."""
        start = text.find(b"<", at)
        if start != at:
            stop = start if start >= 0 else len(text)
            self._plain(text[at:stop], out)
            return stop
        rest = text[at : at + 4]
        if rest == b"<!--":
            self._raw = b"--"
            out.append(b"<!")
            return at + 2  # "<!-->" is a whole comment
        if len(rest) < 4 and not last and (b"<!--".startswith(rest) or rest in (b"<", b"</")):
            return -1
        tag = _TAG.match(text, at)
        if tag is not None:
            return self._tag(text, at, tag, out, last=last)
        if rest[:2] in (b"<!", b"<?") or (rest[:2] == b"</" and rest[2:3] != b">"):
            return self._whole(text, at, text.find(b">", at) + 1, out, last=last)
        self._plain(b"<", out)
        return at + 1

    def _plain(self, text: bytes, out: list[bytes]) -> None:
        seen = text.lstrip(_SPACE + b"\xef\xbb\xbf") if self._shim else b""
        if seen:
            out += (text[: len(text) - len(seen)], self._taken(), seen)
        else:
            out.append(text)

    def _taken(self) -> bytes:
        shim, self._shim = self._shim, b""
        return shim

    def _whole(self, text: bytes, at: int, end: int, out: list[bytes], *, last: bool) -> int:
        """Pass what is no tag with addresses, up to `end` (0: unknown) or the limit: how far, -1 for more bytes."""
        stop = min(end or len(text), at + TAG_LIMIT)
        if not end and not last and len(text) < at + TAG_LIMIT:
            return -1
        out.append(text[at:stop])
        return stop

    # ---- tags

    def _tag(self, text: bytes, at: int, tag: re.Match[bytes], out: list[bytes], *, last: bool) -> int:
        end = self._scan(text, at, max(tag.end(), at + self._scanned))
        if not 0 < end <= at + TAG_LIMIT:
            stop = self._whole(text, at, 0, out, last=last)
            if stop >= 0:
                self._scanned, self._attributes = 0, []
            return stop
        attributes, self._attributes, self._scanned = self._attributes, [], 0
        name, whole = tag[1].lower(), text[at:end]
        if whole[1:2] == b"/":
            out.append(whole)
            return end
        if self._shim and name not in (b"html", b"head"):
            out.append(self._taken())
        out.append(self._changed(name, whole, attributes))
        if self._shim and name == b"head":
            out.append(self._taken())
        if name in _RAW:
            self._raw = name
            self._styles = Styles(self._root) if name == b"style" else None
        return end

    def _scan(self, text: bytes, start: int, at: int) -> int:
        """Read attributes from `at` on, into `_attributes`: where the tag ends, -1 when it doesn't yet."""
        size = len(text)
        while True:
            self._scanned = at - start
            begin = _GAP.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing as well
            if begin == size:
                return -1
            if text[begin] == 62:  # ">"
                return begin + 1
            at = _NAME.match(text, begin).end()  # type: ignore[union-attr]
            name = text[begin:at].lower()
            equals = _EQUALS.match(text, at)
            if equals is None:
                if not text[at:].strip(_SPACE):
                    return -1  # "=" may follow
                self._attributes.append(_Attribute(name, begin - start, at - start, at - start, at - start))
                continue
            first = equals.end()
            if first == size:
                return -1
            quote = text[first : first + 1]
            if quote in (b'"', b"'"):
                last = text.find(quote, first + 1)
                first, at = first + 1, last + 1
            else:
                last = at = _BARE.match(text, first).end()  # type: ignore[union-attr]
            if last < 0 or at >= size:
                return -1
            self._attributes.append(_Attribute(name, begin - start, first - start, last - start, at - start))

    def _changed(self, name: bytes, tag: bytes, attributes: list[_Attribute]) -> bytes:
        if name == b"meta":
            kind = _value(tag, attributes, b"http-equiv").lower()
            if kind in _POLICIES:
                return b""
        else:
            kind = b""
        pieces: list[bytes] = []
        at = 0
        for one in attributes:
            if name == b"link" and one.name == b"integrity":
                # The style sheet is another one now, byte by byte.
                pieces.append(tag[at : one.begin])
                at = one.end
                continue
            old = tag[one.first : one.last]
            new = self._value(name, one.name, old, kind, tag, attributes)
            if new != old:
                pieces += (tag[at : one.first], new)
                at = one.last
        pieces.append(tag[at:])
        return b"".join(pieces)

    def _value(
        self, tag: bytes, name: bytes, value: bytes, kind: bytes, whole: bytes, attributes: list[_Attribute]
    ) -> bytes:  # fmt: skip
        if name in _ADDRESSES or (name == b"data" and tag == b"object"):
            return rooted.below(self._root, value)
        if name == b"style":
            return rooted.style(self._root, value)
        if name in _SETS:
            return rooted.candidates(self._root, value)
        if name == b"content" and tag == b"meta":
            if kind == b"refresh" and (found := _REFRESH.fullmatch(value)) is not None:
                return found[1] + rooted.below(self._root, found[2])
            if _value(whole, attributes, b"name").lower() == b"referrer":
                return b"same-origin"  # its path tells whose the page is
        return value


def _value(tag: bytes, attributes: list[_Attribute], name: bytes) -> bytes:
    return next((tag[one.first : one.last].strip(_SPACE) for one in attributes if one.name == name), b"")


_ENDS: dict[bytes, re.Pattern[bytes]] = {
    name: re.compile(rb"</" + name + rb"(?=[ \t\n\f\r/>])", re.IGNORECASE) for name in _RAW
} | {b"--": re.compile(rb"--!?>")}


def _end_of(raw: bytes) -> re.Pattern[bytes]:
    return _ENDS[raw]


def rewriters(root: bytes, head: ResponseHead, request: RequestHead) -> list[Rewriter]:
    """What a response's body goes through below `root`: nothing when it is neither HTML nor a style sheet."""
    kind = kind_of(head)
    if kind == "css":
        return [Styles(root)]
    if kind != "html":
        return []
    # A text that a script asked for is a piece of a page: it gets no script of ours.
    page = request.dest in (b"document", b"iframe", b"frame") or not request.mode
    drawing = b"svg" in head.values(b"content-type")[-1].lower()
    return [Markup(root, shim(root, address(SHIM, SERVICE_BASE)) if page and not drawing else b"")]
