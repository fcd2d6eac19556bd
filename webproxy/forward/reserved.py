"""The paths under /.pg/ that every service origin keeps for us; a device never sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from panelgate.errors import PanelgateError, Refused, Unavailable
from panelgate.log import get_logger
from panelgate.tasks import spawn
from webproxy.forward import handoff, problems, viewers
from webproxy.forward.headers import token_of
from webproxy.forward.request import SAFE_METHODS, RequestHead
from webproxy.security import own_headers
from webproxy.sessions import ServiceSession

if TYPE_CHECKING:
    from webproxy.forward.places import Place
    from webproxy.forward.protocol import FrontProtocol

log = get_logger(__name__)


def serve(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    """Answer a request under /.pg/; static files have gone to the application already."""
    path = head.path
    if head.is_websocket:
        if path == viewers.SOCKET:
            spawn("viewer", _socket(front, head, place))
        else:
            front.show(problems.NOT_FOUND, head, None)
    elif path == b"/.pg/cb" and head.method == b"GET":
        _callback(front, head, place)
    elif path == b"/.pg/status" and head.method in SAFE_METHODS:
        spawn("status", _status(front, head, place))
    elif path == b"/.pg/reset" and head.method in SAFE_METHODS:
        if head.site not in (b"", b"none"):
            # A person types this address. A panel's page could end every sign-in of this domain with it.
            front.show(problems.FOREIGN, head, None)
        else:
            _reset(front, head, place)
    elif path == b"/.pg/signed-out" and head.method in SAFE_METHODS:
        if head.site not in (b"", b"none", b"same-origin"):
            # A link on another site must not sign people out.
            front.show(problems.FOREIGN, head, None)
        else:
            _signed_out(front, head, place)
    elif path == b"/.pg/sign-out" and head.method == b"POST":
        spawn("service sign-out", _sign_out(front, head, place))
    else:
        front.show(problems.NOT_FOUND, head, None)


def _secure(front: FrontProtocol) -> bool:
    return front.web.sites.scheme == "https"


def _callback(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    callback = handoff.read_callback(head.query, head.cookies, place.jar)
    if callback is None:
        log.warning("hand-off without its nonce", label=place.label)
        front.show(problems.BAD_HAND_OFF, head, None)
        return
    spawn("hand-off", _redeem(front, head, place, callback))


async def _redeem(front: FrontProtocol, head: RequestHead, place: Place, callback: handoff.Callback) -> None:
    body = {"code": callback.code, "host_label": place.label, "nonce_hash": callback.nonce_hash}
    try:
        answer = await front.web.access.call("POST", "/webproxy/v1/handoff/redeem", json=body)
        raw, token = answer.get("service_session"), answer.get("service_token")
        if not isinstance(raw, dict) or not isinstance(token, str) or not token.isascii():
            raise Unavailable("bad_answer", "the access server's answer is not a hand-off")
        session = ServiceSession.of(raw)
        if session.label != place.label:
            raise Refused("bad_code", "the code is for another host")
    except Refused as error:
        log.warning("hand-off refused", label=place.label, reason=error.code)
        front.show(problems.BAD_HAND_OFF, head, None)
        return
    except PanelgateError as error:
        front.show(problems.of_error(error), head, None)
        return
    front.web.sessions.add(token, session)
    log.info("signed in on service", label=place.label, session_id=session.session_id)
    lines = own_headers("redirect", secure=_secure(front))
    lines += handoff.signed_in_lines(
        callback, place.word, token, str(session.user["id"]), head.cookies, place.jar, head.prefix
    )
    front.answer(303, lines, head=head)


async def _signed_in(front: FrontProtocol, head: RequestHead, place: Place) -> tuple[ServiceSession, str] | None:
    """The session that a request's cookie means, and its token; None when the answer was a page that says why not."""
    token = token_of(head.cookies, place.jar)
    if token is None:
        front.show(problems.NO_SESSION, head, None)
        return None
    try:
        return await front.web.sessions.get(token, place.label), token
    except PanelgateError as error:
        front.show(problems.of_error(error), head, None)
        return None


async def _socket(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    """The viewer's WebSocket."""
    if (found := await _signed_in(front, head, place)) is not None:
        viewers.serve_socket(front, head, *found)


async def _status(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    """Whether the machine is back, for pages that wait for it and for viewers that reconnect."""
    if (found := await _signed_in(front, head, place)) is None:
        return
    session, token = found
    facts: dict[str, object] = {"status": "online", "since": None}
    if front.web.circuits.current(session) is None:
        facts = front.web.device_status.get(session.device["id"]) or facts
        if facts["status"] == "online":
            # The last word may be old: opening a circuit is the question itself, and the next page needs it anyway.
            try:
                await front.web.circuits.http(session, token)
            except PanelgateError as error:
                facts = {"status": "offline", "since": error.facts.get("since"), "reason": error.code}
    body = json.dumps({"device": facts}).encode()
    lines = own_headers("data", secure=_secure(front)) + b"Content-Type: application/json\r\n"
    front.answer(200, lines, body, head=head)


def _reset(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    """Delete everything that the browser keeps for this origin, cookies that siblings planted included."""
    lines = own_headers("redirect", secure=_secure(front)) + handoff.forget_session(place.jar)
    lines += b'Clear-Site-Data: "cache", "cookies", "storage"\r\nLocation: %b%b/\r\n' % (place.origin, head.prefix)
    front.answer(303, lines, head=head)


def _signed_out(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    """The page after signing out. Not "cookies": that would sign the user out of all sibling services as well."""
    extra = handoff.forget_session(place.jar) + b'Clear-Site-Data: "cache", "storage"\r\n'
    front.show(problems.SIGNED_OUT, head, None, extra)


async def _sign_out(front: FrontProtocol, head: RequestHead, place: Place) -> None:
    token = token_of(head.cookies, place.jar)
    if token is not None:
        try:
            await front.web.sessions.sign_out(token, place.label)
        except PanelgateError as error:
            # This browser is signed out either way; that the sign-in lives on until it idles out must be said.
            log.warning("sign-out not told", label=place.label, reason=error.code)
            front.show(problems.of_error(error), head, None, handoff.forget_session(place.jar))
            return
    lines = own_headers("redirect", secure=_secure(front)) + handoff.forget_session(place.jar)
    front.answer(303, lines + b"Location: " + head.prefix + b"/.pg/signed-out\r\n", head=head)
