"""What an exchange does beside forwarding: it signs in at the device, and it keeps and uses what may be cached.

The functions are the exchange's hooks, called only where a visit `attends` or a device answers 401.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panelgate.log import get_logger
from webproxy.forward import cache, problems
from webproxy.forward.credentials import SignIn, Verdict, challenges
from webproxy.forward.request import SAFE_METHODS

if TYPE_CHECKING:
    from panelgate.response import ResponseHead
    from webproxy.forward.exchange import Exchange

REPLAY_LIMIT = 64 * 1024  # bytes of a body kept in case the device wants it signed; forms have a few kB

_BY_CONNECTION = frozenset({b"ntlm", b"negotiate"})
log = get_logger(__name__)


class Replay:
    """A request's body, kept while it may have to be sent again."""

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Take bytes as they go to the device; past the limit none is kept."""
        self.size += len(piece)
        if self.size <= REPLAY_LIMIT:
            self.pieces.append(piece)
        else:
            self.pieces.clear()

    @property
    def whole(self) -> bool:
        """Whether all of it is here."""
        return self.size <= REPLAY_LIMIT


def before(exchange: Exchange) -> bool:
    """Before a request goes to the device, whose circuit stands: True when it has been answered here.

    Not before the circuit stands: a page must not look alive while its machine is offline.
    """
    visit, front = exchange.visit, exchange.front
    if front is None:
        return True
    sign_in = visit.sign_in
    if sign_in is not None:
        credentials = front.web.circuits.credentials(visit.session)
        if not exchange.head.is_navigation and sign_in.is_refused(credentials, front.loop.time()):
            exchange.fail(problems.SIGN_IN_REFUSED)
            return True
        if exchange.head.has_body and sign_in.replays and exchange.replay is None:
            exchange.replay = Replay()
    return visit.shelf is not None and not visit.pool.by_connection and _kept(exchange, visit.shelf)


def _kept(exchange: Exchange, shelf: cache.Shelf) -> bool:
    asks, front = cache.asks_of(exchange.head), exchange.front
    exchange.kept = None
    if asks is None or front is None:
        return False
    entry = shelf.find(asks)
    now = exchange.asked = front.web.clock.monotonic()
    if entry is None:
        return False
    # With other cookies the person may be signed in at the device as somebody else: then only the device knows.
    if not asks.verify and entry.cookie == hash(exchange.cookie) and entry.is_fresh(now):
        exchange.answer(*entry.answer(exchange.request, entry.age + now - entry.asked))
        return True
    if entry.etag or entry.modified:
        exchange.kept = entry
    return False


def sent(exchange: Exchange) -> bytes:
    """The request's head as it goes out now: signed, and with the validators of what is kept."""
    request, visit, front = exchange.request, exchange.visit, exchange.front
    if exchange.kept is not None:
        request = exchange.kept.conditional(request)
    if visit.sign_in is not None and front is not None:
        request = visit.sign_in.signed(request, front.web.circuits.credentials(visit.session))
    return request


def takes(exchange: Exchange, head: ResponseHead, body: bytes) -> bool:
    """The device's answer begins: True when the browser gets another one, or none yet, and all is arranged."""
    visit, front = exchange.visit, exchange.front
    if front is None:
        return True
    if visit.sign_in is not None:
        if head.status == 401 and _challenged(exchange, visit.sign_in, head):
            return True
        visit.sign_in.learn(head)
    elif head.status == 401 or visit.pool.by_connection:
        _by_connection(exchange, head)
    shelf = visit.shelf
    if shelf is None or exchange.websocket:
        return False
    return _keeps(exchange, shelf, head, body)


def _by_connection(exchange: Exchange, head: ResponseHead) -> None:
    """NTLM and Negotiate sign a connection in: from now on this browser session has exactly one."""
    front, pool, upstream = exchange.front, exchange.visit.pool, exchange.upstream
    if front is None or upstream is None:
        return
    pool.stepped(exchange)
    offered = [one for one in challenges(head) if one.scheme in _BY_CONNECTION] if head.status == 401 else []
    if offered:
        exchange.visit.attends = True  # each answer ends a step
        pool.keep_to(upstream, front if any(one.token for one in offered) else None, front.loop.time())


def _keeps(exchange: Exchange, shelf: cache.Shelf, head: ResponseHead, body: bytes) -> bool:
    visit = exchange.visit
    kept, exchange.kept = exchange.kept, None
    if kept is not None:
        if head.status == 304:
            _renew(exchange, shelf, kept, head)
            return True
        shelf.remove(kept)
    if head.status == 200 and exchange.head.method == b"GET":
        if not head.unkept and not visit.pool.by_connection:
            asks = cache.asks_of(exchange.head)
            if asks is not None:
                exchange.copy = shelf.copy(asks, head, hash(exchange.cookie), exchange.asked)
                if body and exchange.copy is not None and not exchange.copy.add(body):
                    exchange.copy = None
    elif exchange.head.method not in SAFE_METHODS and head.status < 400:
        shelf.invalidate(exchange.head.target)
    return False


def _renew(exchange: Exchange, shelf: cache.Shelf, kept: cache.Entry, head: ResponseHead) -> None:
    front = exchange.front
    if front is None:
        return
    entry = shelf.renewed(kept, head, hash(exchange.cookie), exchange.asked, front.web.clock.now())
    if entry is None:
        exchange.again()  # without a condition: nothing is kept for it now
        return
    exchange.answer(*entry.answer(exchange.request))


def forget(exchange: Exchange) -> None:
    """The answer won't be kept."""
    copy, exchange.copy = exchange.copy, None
    if copy is not None:
        copy.drop()


def done(exchange: Exchange) -> None:
    """The answer is complete: keep it when its end is beyond doubt."""
    copy, exchange.copy = exchange.copy, None
    shelf, front, upstream = exchange.visit.shelf, exchange.front, exchange.upstream
    if copy is None:
        return
    if shelf is None or front is None or upstream is None or not upstream.reader.reusable:
        copy.drop()
        return
    shelf.store(copy, front.web.clock.now())


def _challenged(exchange: Exchange, sign_in: SignIn, head: ResponseHead) -> bool:
    """The device wants the request signed, or did not accept how it was."""
    front, visit = exchange.front, exchange.visit
    if front is None:
        return True
    credentials = front.web.circuits.credentials(visit.session)
    verdict = sign_in.judge(head, last=exchange.signed_anew or credentials is None)
    if verdict is Verdict.PASS:
        return False
    if verdict is Verdict.AGAIN:
        if exchange.replay is not None and not exchange.replay.whole:
            exchange.fail(problems.SIGN_IN_TOO_LARGE)
            return True
        exchange.signed_anew = True
        exchange.again()
        return True
    log.warning(
        "sign-in at the device refused", reason=verdict.value, scheme=sign_in.scheme, stored=credentials is not None,
        session_id=visit.session.session_id, service_id=visit.session.service["id"],
    )  # fmt: skip
    if credentials is None:
        exchange.fail(problems.SIGN_IN_MISSING)
    elif verdict is Verdict.OTHER:
        exchange.fail(problems.sign_in_other(sign_in.scheme, [one.scheme.decode() for one in challenges(head)]))
    else:
        sign_in.note_refused(credentials, front.loop.time())
        exchange.fail(problems.SIGN_IN_REFUSED)
    return True
