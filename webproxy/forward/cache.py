"""What the device itself marks cacheable, kept for one user's use of one service (RFC 9111, a private cache). No I/O.

An HMI must never show a stale value: an answer is given without asking the device only while the device's own max-age
or Expires says so; everything else that is kept is asked about each time, which costs a slow uplink only the heads.
Nothing is guessed: no heuristic freshness, no stale answers when the device is gone.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from panelgate.response import CHUNKED, CLOSE, LENGTH, NONE, ResponseHead
from webproxy.forward.amend import amended
from webproxy.forward.request import RequestHead

BODY_LIMIT: Final = 8 * 1024 * 1024  # bytes of one body: a panel's largest script has some 5 MB
HEAD_LIMIT: Final = 16 * 1024  # bytes of one head; what is larger carries more than a file's description
SHELF_LIMIT: Final = 32 * 1024 * 1024  # bytes for one user and service: the largest HMI measured takes 9 MB
PROCESS_LIMIT: Final = 256 * 1024 * 1024  # bytes for all; see PANELGATE_WEBPROXY_CACHE_BYTES
ARRIVING_LIMIT: Final = 64 * 1024 * 1024  # bytes for answers on their way: devices that stop halfway hold no more
PIECE_COST: Final = 64  # bytes counted for each piece of them, so that many of one byte are bounded too
ENTRY_COST: Final = 2048  # bytes counted for an entry beside body and head: so that many small ones are bounded too
LIFETIME_LIMIT: Final = 365 * 86400  # seconds; RFC 9111 section 1.2.2 wants large numbers bounded

# Requests are told apart by these, so that a device may answer differently for each of them without saying so in Vary.
_KEYED: Final = (b"accept", b"accept-encoding", b"accept-language", b"user-agent", b"origin", b"authorization")
_VARIES: Final = frozenset(_KEYED) - {b"authorization"}
# Of no influence on what a device answers, or read here.
_KNOWN: Final = frozenset({
    b"cache-control", b"pragma", b"if-none-match", b"if-modified-since", b"dnt", b"upgrade-insecure-requests",
    b"priority", b"save-data", b"purpose",
})  # fmt: skip
_CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since"})
_CONDITION_TAGS: Final = re.compile(rb"\r\nif-none-match:[ \t]*([^\r\n]*)", re.IGNORECASE)
_CONDITION_DATE: Final = re.compile(rb"\r\nif-modified-since:[ \t]*([^\r\n]*)", re.IGNORECASE)
_ENDLESS: Final = (b"text/event-stream", b"multipart/")  # live pictures and events: never whole, never the same
# A 304 says nothing about these (RFC 9111 section 3.2); the body's framing is ours anyway.
_OF_BODY: Final = frozenset({
    b"content-length", b"content-encoding", b"content-range", b"content-type", b"transfer-encoding", b"connection",
    b"keep-alive", b"set-cookie", b"set-cookie2", b"age",
})  # fmt: skip
_IN_304: Final = frozenset({
    b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary", b"last-modified",
})  # fmt: skip
_GROUNDS: Final = frozenset(
    {b"etag", b"last-modified", b"cache-control", b"expires"}
)  # one of them, or nothing is kept
_SALT: Final = secrets.token_bytes(16)

Key = tuple[bytes, bytes]


class Asks:
    """What a GET's head means to the cache. `verify`: the browser wants the device asked."""

    __slots__ = ("authorized", "key", "verify")

    def __init__(self, key: Key, *, verify: bool, authorized: bool) -> None:
        self.key = key
        self.verify = verify
        self.authorized = authorized


def asks_of(head: RequestHead) -> Asks | None:
    """`head` as the cache sees it; None when the cache has nothing to do with it."""
    asks = head.asks
    if asks is None:
        asks = _read(head)
        head.asks = asks or False
    return asks or None


def _read(head: RequestHead) -> Asks | None:
    """None for anything but a plain GET: with a header that a page made up, the answer may be another one.

    A page could otherwise ask with a header of its own (a host, an address, a format) and so leave an answer behind
    that a later page gets without having asked like this.
    """
    if head.method != b"GET" or head.has_body or head.upgrade:
        return None
    found: dict[bytes, bytes] = {}
    for line in head.lines:
        name, _, value = line.partition(b":")
        key = name.lower()
        if key in _KEYED or key in _KNOWN:
            found[key] = found[key] + b"," + value.strip() if key in found else value.strip()
        elif not key.startswith(b"sec-"):
            return None
    if head.origin is not None:
        found[b"origin"] = head.origin
    control = directives([found.get(b"cache-control", b""), found.get(b"pragma", b"")])
    if b"no-store" in control or b"only-if-cached" in control:
        return None
    selecting = hashlib.blake2b(digest_size=16, key=_SALT)
    for name in _KEYED:
        value = found.get(name, b"")
        selecting.update(b"%d:%b" % (len(value), value))
    return Asks(
        (head.target, selecting.digest()),
        verify=not control.keys().isdisjoint((b"no-cache", b"max-age", b"min-fresh")),
        authorized=b"authorization" in found,
    )  # fmt: skip


class Entry:
    """One complete answer of the device. `asked` is monotonic seconds: when it was asked for, so never too young."""

    __slots__ = ("age", "asked", "body", "cookie", "etag", "head", "key", "lifetime", "modified", "size")

    def __init__(self, key: Key, head: ResponseHead, body: bytes, cookie: int) -> None:
        self.key = key
        self.head = head
        self.body = body
        self.cookie = cookie
        self.size = 0
        self.asked = self.age = self.lifetime = 0.0
        self.etag = self.modified = b""

    def date(self, asked: float, wall: float) -> None:
        """Work out age and lifetime from the head (RFC 9111 sections 4.2.1, 4.2.3); `wall` is unix seconds."""
        head = self.head
        self.etag = b"".join(head.values(b"etag")[:1])
        self.modified = b"".join(head.values(b"last-modified")[:1])
        date = _seconds(head.values(b"date"))
        ages = head.values(b"age")
        said = min(int(ages[0][:12]), LIFETIME_LIMIT) if ages and ages[0].isdigit() else 0
        # A device whose clock is behind looks old, and is then asked each time: the safe side.
        self.age = max(said, wall - date if date is not None else 0.0, 0.0)
        self.lifetime = _lifetime(head, date if date is not None else wall)
        self.asked = asked
        self.size = len(self.body) + _bulk(head) + ENTRY_COST

    def is_fresh(self, now: float) -> bool:
        """Whether the device said that nobody needs to ask it yet."""
        return self.lifetime > self.age + now - self.asked

    def answer(self, request: bytes, age: float | None = None) -> tuple[ResponseHead, bytes]:
        """The answer to `request`: 304 when the browser has the same, else all of it; `age` seconds go along.

        `request` is the head as the device would get it: entity tags of rewritten bodies are the device's own there.
        """
        same = self._matches(request)
        head = self.head
        if not same and age is None:
            return head, self.body
        made = ResponseHead(head.version, 304 if same else head.status, b"Not Modified" if same else head.reason)
        made.headers = [row for row in head.headers if row[0] != b"age" and (not same or row[0] in _IN_304)]
        if age is not None:
            made.headers.append((b"age", b"Age", b"%d" % int(age)))
        made.framing, made.length = (NONE, -1) if same else (LENGTH, len(self.body))
        return made, b"" if same else self.body

    def _matches(self, request: bytes) -> bool:
        """The browser's own condition (RFC 9110 section 13.2.2), compared weakly."""
        tags = _CONDITION_TAGS.findall(request)
        if tags:
            offered = {_opaque(tag) for line in tags for tag in line.split(b",")}
            return b"*" in offered or (bool(self.etag) and _opaque(self.etag) in offered)
        dates = _CONDITION_DATE.findall(request)
        if not dates or not self.modified:
            return False
        if dates[0] == self.modified:
            return True
        mine, theirs = _seconds([self.modified]), _seconds(dates)
        return mine is not None and theirs is not None and mine <= theirs

    def conditional(self, request: bytes) -> bytes:
        """`request` with our validators in place of the browser's."""
        lines = b"If-None-Match: " + self.etag + b"\r\n" if self.etag else b""
        if self.modified:
            lines += b"If-Modified-Since: " + self.modified + b"\r\n"
        return amended(request, _CONDITIONS, lines)


class Copy:
    """An answer on its way through, collected to be kept."""

    __slots__ = ("_caches", "asked", "asks", "cookie", "head", "pieces", "size")

    def __init__(self, caches: Caches, asks: Asks, head: ResponseHead, cookie: int, asked: float) -> None:
        self._caches = caches
        self.asks = asks
        self.head = head
        self.cookie = cookie
        self.asked = asked
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> bool:
        """Take bytes of the body; False when it is given up: too long to be kept, or too many arrive at once."""
        size = len(piece) + PIECE_COST
        if self.size + size > BODY_LIMIT or not self._caches.take(size):
            self.drop()
            return False
        self.size += size
        self.pieces.append(piece)
        return True

    def drop(self) -> None:
        """Give it up: the answer is not kept."""
        self._caches.take(-self.size)
        self.size = 0
        self.pieces.clear()


class Shelf:
    """What is kept of one service for one user."""

    __slots__ = ("_caches", "_entries", "_targets", "alive", "size")

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._targets: dict[bytes, set[Key]] = {}
        self.size = 0
        self.alive = True

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, asks: Asks) -> Entry | None:
        """What is kept for this request; whether it may be used unasked is another question."""
        entry = self._entries.get(asks.key)
        if entry is not None:
            self._entries.move_to_end(asks.key)
            self._caches.used(self)
        return entry

    def copy(self, asks: Asks, head: ResponseHead, cookie: int, asked: float) -> Copy | None:
        """Begin to keep the answer to `asks`, or None when it may not be kept.

        That is noted on the head: a panel that is polled sends the same one again, and each reader knows its last.
        """
        if not storable(head, authorized=asks.authorized):
            head.unkept = not asks.authorized
            return None
        return Copy(self._caches, asks, head, cookie, asked)

    def store(self, copy: Copy, wall: float) -> None:
        """Keep a complete answer."""
        body = b"".join(copy.pieces)
        copy.drop()
        head = ResponseHead(copy.head.version, copy.head.status, copy.head.reason)
        head.headers = copy.head.headers
        head.framing, head.length = LENGTH, len(body)
        entry = Entry(copy.asks.key, head, body, copy.cookie)
        entry.date(copy.asked, wall)
        self._put(entry)

    def renewed(self, entry: Entry, head: ResponseHead, cookie: int, asked: float, wall: float) -> Entry | None:
        """The device says 304 to our validators: the entry as it is now; None when the 304 is about something else.

        What may not be kept any longer is not, and answers this one request only.
        """
        tag = b"".join(head.values(b"etag")[:1])
        if tag and entry.etag and _opaque(tag) != _opaque(entry.etag):
            self.remove(entry)
            return None
        told = {key for key, _, _ in head.headers} - _OF_BODY
        made = ResponseHead(entry.head.version, entry.head.status, entry.head.reason)
        made.headers = [row for row in entry.head.headers if row[0] not in told and row[0] != b"age"]
        made.headers += [row for row in head.headers if row[0] in told]
        made.framing, made.length = LENGTH, len(entry.body)
        new = Entry(entry.key, made, entry.body, cookie)
        new.date(asked, wall)
        # It was allowed to be kept for a request like this one before.
        if self._entries.get(entry.key) is entry:
            if storable(made, authorized=False):
                self._put(new)
            else:
                self.remove(entry)
        cookies = [row for row in head.headers if row[0] in (b"set-cookie", b"set-cookie2")]
        if cookies:
            once = ResponseHead(made.version, made.status, made.reason)
            once.headers = made.headers + cookies
            once.framing, once.length = made.framing, made.length
            shown = Entry(entry.key, once, entry.body, cookie)
            shown.etag, shown.modified = new.etag, new.modified
            return shown
        return new

    def invalidate(self, target: bytes) -> None:
        """A request that may have changed `target` went through (RFC 9111 section 4.4)."""
        for key in list(self._targets.get(target, ())):
            self.remove(self._entries[key])

    def remove(self, entry: Entry) -> None:
        """Forget `entry`."""
        if self._entries.get(entry.key) is not entry:
            return
        del self._entries[entry.key]
        keys = self._targets[entry.key[0]]
        keys.discard(entry.key)
        if not keys:
            del self._targets[entry.key[0]]
        self.size -= entry.size
        self._caches.size -= entry.size

    def _put(self, entry: Entry) -> None:
        before = self._entries.get(entry.key)
        if before is not None:
            self.remove(before)
        if not self.alive or entry.size > SHELF_LIMIT:
            return
        self._entries[entry.key] = entry
        self._targets.setdefault(entry.key[0], set()).add(entry.key)
        self.size += entry.size
        self._caches.size += entry.size
        while self.size > SHELF_LIMIT:
            self.evict()
        self._caches.used(self)
        self._caches.shrink()

    def evict(self) -> None:
        """Forget what was unused for longest."""
        self.remove(next(iter(self._entries.values())))

    def close(self) -> None:
        """Forget all, and keep nothing any more: exchanges under way may still hold this."""
        self.alive = False
        for entry in list(self._entries.values()):
            self.remove(entry)


class Caches:
    """All shelves of this process, by account, user and service. INVARIANT: `size` is the sum of all entries' sizes."""

    def __init__(self, limit: int = PROCESS_LIMIT) -> None:
        self._limit = limit
        self.arriving = 0  # bytes of answers that are being collected
        self._shelves: OrderedDict[tuple[str, str, str], Shelf] = OrderedDict()
        self._names: dict[Shelf, tuple[str, str, str]] = {}
        self.size = 0

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(list(self._shelves))

    def shelf(self, account: str, user: str, service: str) -> Shelf | None:
        """What `user` has of `service`, empty at first; None when this process keeps nothing."""
        if not self._limit:
            return None
        name = (account, user, service)
        shelf = self._shelves.get(name)
        if shelf is None:
            shelf = self._shelves[name] = Shelf(self)
            self._names[shelf] = name
        return shelf

    def take(self, size: int) -> bool:
        """Make room for `size` bytes more of what is arriving; False when that is too much."""
        if size > 0 and self.arriving + size > ARRIVING_LIMIT:
            return False
        self.arriving += size
        return True

    def used(self, shelf: Shelf) -> None:
        """`shelf` is in use: it is shortened last."""
        name = self._names.get(shelf)
        if name is not None:
            self._shelves.move_to_end(name)

    def shrink(self) -> None:
        """Forget the longest unused until all fits."""
        for shelf in list(self._shelves.values()):
            while self.size > self._limit and len(shelf):
                shelf.evict()
            if self.size <= self._limit:
                return

    def drop(self, names: Iterable[tuple[str, str, str]]) -> None:
        """The permission is gone or the service is another one: nothing kept may be shown any more."""
        for name in names:
            shelf = self._shelves.pop(name, None)
            if shelf is not None:
                del self._names[shelf]
                shelf.close()


# ---- rules


def storable(head: ResponseHead, *, authorized: bool) -> bool:
    """Whether a response to a GET may be kept: RFC 9111 section 3, stricter where an HMI could show something old."""
    if head.status != 200 or head.framing not in (LENGTH, CHUNKED, CLOSE):
        return False
    if _GROUNDS.isdisjoint([key for key, _, _ in head.headers]):
        return False  # live values end here
    if (head.framing == LENGTH and head.length > BODY_LIMIT) or _bulk(head) > HEAD_LIMIT:
        return False
    validator = False
    for key, _, value in head.headers:
        if key in (b"set-cookie", b"set-cookie2", b"content-range"):
            return False
        if key == b"vary":
            if not _VARIES.issuperset(part.strip().lower() for part in value.split(b",") if part.strip()):
                return False
        elif key in (b"etag", b"last-modified"):
            validator = validator or bool(value)
        elif key == b"content-type" and value.lower().startswith(_ENDLESS):
            return False
    control = directives(head.values(b"cache-control"))
    if b"no-store" in control:
        return False
    if authorized and control.keys().isdisjoint((b"public", b"must-revalidate", b"s-maxage")):
        return False
    return validator or _lifetime(head, None) > 0


def directives(values: list[bytes]) -> dict[bytes, bytes]:
    """Cache-Control's directives in lower case, with their values; one that comes twice has the value b"?"."""
    found: dict[bytes, bytes] = {}
    for value in values:
        for part in value.split(b","):
            name, _, setting = part.partition(b"=")
            key = name.strip().lower()
            if key:
                setting = setting.strip().strip(b'"')
                found[key] = setting if found.get(key, setting) == setting else b"?"
    return found


def _lifetime(head: ResponseHead, date: float | None) -> float:
    """Seconds the device says it stays true; 0 when it says nothing, or nothing sensible."""
    control = directives(head.values(b"cache-control"))
    if b"no-cache" in control or b"no-store" in control:
        return 0.0
    if b"max-age" in control:
        said = control[b"max-age"]
        return float(min(int(said[:12]), LIFETIME_LIMIT)) if said.isdigit() else 0.0
    if not control and b"no-cache" in directives(head.values(b"pragma")):
        return 0.0
    expires = head.values(b"expires")
    until = _seconds(expires) if len(expires) == 1 else None
    if until is None:
        return 0.0
    if date is None:
        date = _seconds(head.values(b"date")) or 0.0
    return min(max(until - date, 0.0), LIFETIME_LIMIT)


def _seconds(values: list[bytes]) -> float | None:
    """An HTTP date as unix seconds."""
    if not values:
        return None
    try:
        return parsedate_to_datetime(values[0].decode("ascii")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _opaque(tag: bytes) -> bytes:
    return tag.strip().removeprefix(b"W/")


def _bulk(head: ResponseHead) -> int:
    return sum(len(name) + len(value) + 4 for _, name, value in head.headers)
