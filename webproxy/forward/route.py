"""What becomes of a request for a service's origin: checked, signed in, and given to the handler of its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panelgate.errors import PanelgateError
from panelgate.tasks import spawn
from webproxy.forward import companion, handoff, paths, problems, reserved, viewers
from webproxy.forward.exchange import Exchange
from webproxy.forward.headers import CookieTrouble, cookie_line, session_token, split_cookies
from webproxy.forward.policy import Verdict, judge
from webproxy.forward.request import SAFE_METHODS, RequestHead
from webproxy.forward.websocket import WebSocketExchange
from webproxy.security import own_headers

if TYPE_CHECKING:
    from webproxy.forward.places import Place
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.visit import Visit

# Which handler serves a service's protocol. A protocol that is not here has no pages.
FORWARDED = frozenset({"http", "https"})
VIEWED = frozenset({"vnc"})


class ServicePath:
    """Routes the requests of one browser connection, and remembers what the last one's cookies meant."""

    __slots__ = ("_again", "_cookie", "_cookies", "_front", "_place", "_visit")

    def __init__(self, front: FrontProtocol) -> None:
        self._front = front
        # A page's requests repeat host and cookies byte for byte, so looking them up once is enough.
        self._place: Place | None = None
        self._cookies: list[bytes] = []
        self._visit: Visit | None = None
        self._cookie = b""
        self._again: RequestHead | None = None  # was judged, and came with the cookies of `_visit`

    def serve(self, head: RequestHead, place: Place) -> None:
        """Answer `head`, at once or by an exchange: signed in and on an open circuit it takes no task."""
        front, visit = self._front, self._visit
        # The same head again: only whether the session still counts must be asked anew.
        again = head is self._again and visit is not None and visit.alive
        if again and visit is not None and front.web.sessions.cached(visit.token, visit.label) is not None:
            self._hand_over(head, visit, None)
            return
        verdict = paths.judge(head, place.origin) if head.prefix else judge(head, place.origin)
        if verdict is Verdict.ASK and not handoff.expected(head, place.word, place.jar):
            # The portal asks the person, unless it was the portal's own link that led here.
            sign_in(front, head, place, ask=True)
            return
        if verdict is Verdict.FORBID:
            front.show(problems.FOREIGN, head, None)
            return
        if head.target.startswith(b"/.pg/") and not head.target.startswith(companion.PREFIX):
            reserved.serve(front, head, place)
            return
        if visit is None or place is not self._place or head.cookies != self._cookies or not visit.alive:
            self._first(head, place)
            return
        if front.web.sessions.cached(visit.token, visit.label) is None:
            self._look_up(head, place, visit.token)
            return
        if verdict is Verdict.GO:
            self._again = head
        self._hand_over(head, visit, None)

    def _first(self, head: RequestHead, place: Place) -> None:
        """A request whose cookies have not been seen on this connection."""
        front = self._front
        try:
            token = session_token(split_cookies(head.cookies, place.jar)[0])
        except CookieTrouble:
            front.show(problems.COOKIE_TROUBLE, head, None, handoff.forget_session(place.jar))
            return
        if token is None:
            sign_in(front, head, place)
            return
        session = front.web.sessions.cached(token, place.label)
        if session is None:
            self._look_up(head, place, token)
            return
        visit = front.web.visits.of(session, token)
        self._remember(head, place, visit)
        self._hand_over(head, visit, None)

    def _remember(self, head: RequestHead, place: Place, visit: Visit) -> None:
        self._place, self._cookies, self._visit, self._again = place, head.cookies, visit, None
        self._cookie = cookie_line(split_cookies(head.cookies, place.jar)[1], visit.cookie_names)

    def _look_up(self, head: RequestHead, place: Place, token: str) -> None:
        exchange = self._exchange(head)
        self._front.attach(exchange)
        spawn("service session look-up", self._found(head, place, token, exchange))

    async def _found(self, head: RequestHead, place: Place, token: str, exchange: Exchange) -> None:
        front = self._front
        try:
            session = await front.web.sessions.get(token, place.label)
            visit = front.web.visits.of(session, token)  # meanwhile the port may have become another service's
        except PanelgateError as error:
            if exchange.front is None:
                return
            problem = problems.of_error(error)
            if problem.kind == problems.NO_SESSION.kind:
                sign_in(front, head, place)
            else:
                front.show(problem, head, None)
            return
        if exchange.front is None:
            return
        self._remember(head, place, visit)
        self._hand_over(head, visit, exchange)

    def _exchange(self, head: RequestHead) -> Exchange:
        return WebSocketExchange(self._front, head) if head.is_websocket else Exchange(self._front, head)

    def _hand_over(self, head: RequestHead, visit: Visit, exchange: Exchange | None) -> None:
        front, cookie = self._front, self._cookie
        if head.target.startswith(companion.PREFIX):
            part = companion.find(front, head, visit)
            if part is None:
                return
            place = self._place
            assert place is not None  # `visit` was remembered with it
            cookie = companion.cookies(part.rules, head, place.jar, visit.cookie_names | part.cookie_names)
            visit = part
        session = visit.session
        protocol = session.service["protocol"]
        if protocol in FORWARDED:
            if head.service_worker and (head.prefix or not visit.rules.options.service_workers):
                front.show(problems.SERVICE_WORKER, head, visit)
                return
            if session.permission != "operate" and (head.method not in SAFE_METHODS or head.is_websocket):
                front.show(problems.WATCH_ONLY, head, visit)
                return
            if exchange is None:
                exchange = self._exchange(head)
                front.attach(exchange)
            exchange.dispatch(visit, cookie)
        elif protocol in VIEWED:
            viewers.serve_page(front, head, visit)
        else:
            front.show(problems.NO_HANDLER, head, visit)


def sign_in(front: FrontProtocol, head: RequestHead, place: Place, *, ask: bool = False) -> None:
    """A page in a window goes by way of the portal, everything else is told 401 without a redirect.

    `ask`: another site led here, so the portal lets the person confirm the address first.
    """
    if not head.is_navigation:
        front.show(problems.NO_SESSION, head, None)
        return
    launch = handoff.begin(front.web.sites, place.word, head.target, jar=place.jar, ask=ask)
    lines = own_headers("redirect", secure=front.web.sites.scheme == "https")
    lines += b"Location: %b\r\nSet-Cookie: %b\r\n" % (launch.location, launch.cookie)
    front.answer(303, lines, head=head)
