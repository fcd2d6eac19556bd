"""Companions: services of the same device that a page may call below its own origin, at /.pg/companion/{slug}/.

An HMI on port 80 with its socket on 8080 is two services with two origins, and browsers keep them apart. Where an
administrator names the second a companion of the first, the first one's pages reach it on their own origin: same user,
same circuit, the companion's own permission, and its own line in the audit. Never as a document: a page of the
companion's belongs to the companion's origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panelgate.errors import Unavailable
from webproxy.forward import problems
from webproxy.forward.headers import cookie_line, split_cookies
from webproxy.forward.jar import Jar
from webproxy.forward.request import SAFE_METHODS, RequestHead
from webproxy.forward.rules import COMPANIONS, Rules
from webproxy.security import own_headers

if TYPE_CHECKING:
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.visit import Visit

PREFIX = COMPANIONS.encode()


def find(front: FrontProtocol, head: RequestHead, visit: Visit) -> Visit | None:
    """The part of `visit` that a request under PREFIX is for; None when it was answered here."""
    slug = head.path[len(PREFIX) :].partition(b"/")[0].decode("latin-1")
    rest = head.target[len(PREFIX) + len(slug) :]
    found = visit.companion(slug)
    if found is None:
        front.show(problems.no_companion(slug), head, visit)
        return None
    if rest.startswith((b"//", b"/\\")):
        front.show(problems.BAD_REQUEST, head, found)
        return None
    if head.method in SAFE_METHODS and not head.is_websocket:
        if head.is_navigation:
            try:
                origin = front.web.sites.service_base(found.session.service["label"]).encode()
            except Unavailable as error:
                front.show(problems.of_error(error), head, found)
                return None
            lines = own_headers("redirect", secure=front.web.sites.scheme == "https")
            front.answer(303, lines + b"Location: " + origin + (rest if rest[:1] == b"/" else b"/" + rest) + b"\r\n",
                head=head)  # fmt: skip
            return None
        if head.mode == b"navigate":
            front.show(problems.FRAMED, head, found)
            return None
    return found


def cookies(rules: Rules, head: RequestHead, jar: Jar, names: set[bytes]) -> bytes:
    """The Cookie header for a companion: shared on one host, as ports of a host share them; else its own alone."""
    others = split_cookies(head.cookies, jar)[1]
    own = rules.foreign_cookies
    if own:
        others = [pair[len(own) :] for pair in others if pair.startswith(own)]
    return cookie_line(others, names)
