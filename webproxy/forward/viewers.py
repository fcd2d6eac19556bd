"""Services that are looked at through a page of ours: the page itself, and the WebSocket that its script opens."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from webproxy import viewer
from webproxy.forward import problems
from webproxy.forward.vnc import VncBridge

if TYPE_CHECKING:
    from webproxy.forward.protocol import FrontProtocol
    from webproxy.forward.request import RequestHead
    from webproxy.forward.visit import Visit
    from webproxy.sessions import ServiceSession

SOCKET = b"/.pg/vnc"
BRIDGES = {"vnc": VncBridge}
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def serve_page(front: FrontProtocol, head: RequestHead, visit: Visit) -> None:
    """The viewer's page, at the start page only: a viewer has no other."""
    if head.method not in (b"GET", b"HEAD") or head.path not in (b"/", visit.session.service["path"].encode()):
        front.show(problems.NOT_FOUND, head, visit)
        return
    headers, body = viewer.page(visit.session, front.web.sites.portal_origin, head.prefix.decode())
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    front.answer(200, lines, body, head=head)


def accept_key(key: bytes) -> bytes | None:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 section 4.2.2); None when the key is none."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except binascii.Error:
        return None
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def serve_socket(front: FrontProtocol, head: RequestHead, session: ServiceSession, token: str) -> None:
    """The viewer's WebSocket: answer the handshake and hand the transport to the protocol's bridge."""
    make = BRIDGES.get(session.service["protocol"])
    accept = accept_key(head.websocket_key)
    if make is None or accept is None:
        front.show(problems.NOT_FOUND if make is None else problems.BAD_REQUEST, head, None)
        return
    client = front.client_facts()
    if front.transport.is_closing():
        return
    bridge = make(front.web, session, token, client)
    transport, early = front.give_away()
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    bridge.attach(transport, early)
