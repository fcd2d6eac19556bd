"""Services that share one host, each below a path that is its label: taken off the target before anything else is done.

What is left of the request looks like one at an origin of the service's own; `RequestHead.prefix` keeps what was taken.

The last resort, and chosen by an operator who was warned: browsers keep pages of one origin from nothing. What `judge`
compares, a script can write as it likes. It stops links, forms and pictures that lead from one panel to another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from panelgate.names import label_ok
from webproxy.forward import policy, problems
from webproxy.forward.policy import Verdict
from webproxy.forward.request import SAFE_METHODS, RequestHead, RequestRefused
from webproxy.security import own_headers

if TYPE_CHECKING:
    from webproxy.forward.protocol import FrontProtocol

STATIC = b"/.pg/static/"  # our own files, the same for all services

_FIRST = re.compile(rb"/([a-z0-9-]{5,63})(?=[/?]|\Z)")


def _label(target: bytes) -> bytes:
    """The label that a target begins with; nothing when it begins with something else."""
    found = _FIRST.match(target)
    return found[1] if found is not None and label_ok(found[1].decode()) else b""


def take_apart(head: RequestHead, shared: bytes) -> None:
    """Take the label off the target of a request for the `shared` host; RequestRefused where no plain path is left."""
    if b"/" in head.host:
        raise RequestRefused(400, "A Host is a name, perhaps with a port.")
    if head.host.lower() != shared:
        return
    label = _label(head.target)
    rest = head.target[1 + len(label) :]
    if not label or rest[:1] != b"/":
        return
    if rest[1:2] in (b"/", b"\\"):
        raise RequestRefused(400, "The request's target is not a plain path.")
    head.host = shared + b"/" + label
    head.prefix = b"/" + label
    head.target = rest


def judge(head: RequestHead, public_origin: bytes) -> Verdict:
    """As policy.judge, and by the Referer where a page of another service of this host seems to have asked."""
    verdict = policy.judge(head, public_origin)
    if verdict is not Verdict.GO or head.referer is None or not head.referer.startswith(public_origin + b"/"):
        return verdict
    if b"/" + _label(head.referer[len(public_origin) :]) == head.prefix:
        return verdict
    if head.is_navigation and not head.target.startswith(b"/.pg/"):
        return Verdict.ASK if b"?" in head.target else Verdict.GO
    return Verdict.GO if head.path == b"/.pg/cb" else Verdict.FORBID


def serve(front: FrontProtocol, head: RequestHead, shared: bytes) -> bool:
    """Answer a request that names no service, if it is one for the `shared` host.

    A page may ask for an address that it has put together from pieces, without its prefix: the Referer tells which
    service it belongs to, and the browser is sent there.
    """
    host = head.host.lower()
    origin = front.web.sites.scheme.encode() + b"://" + shared
    lines = own_headers("redirect", secure=front.web.sites.scheme == "https")
    if host != shared:
        if host.replace(b".:", b":").rstrip(b".") != shared or head.method not in SAFE_METHODS:
            return False
        front.answer(308, lines + b"Location: " + origin + head.target + b"\r\n", head=head)
        return True
    if head.service_worker:
        front.show(problems.SERVICE_WORKER, head, None)
    elif head.target.startswith(STATIC):
        front.to_portal()
    elif label := _label(head.target):
        query = head.target[1 + len(label) :]
        front.answer(308, lines + b"Location: /" + label + b"/" + query + b"\r\n", head=head)
    elif (label := _asking(head, origin)) and not head.target.startswith(b"/.pg/"):
        front.answer(307, lines + b"Location: /" + label + head.target + b"\r\n", head=head)
    else:
        front.show(problems.NOT_FOUND, head, None)
    return True


def _asking(head: RequestHead, origin: bytes) -> bytes:
    """The label of the service whose page asks, as far as its Referer says so; nothing otherwise."""
    referer = head.referer or b""
    return _label(referer[len(origin) :]) if referer.startswith(origin + b"/") else b""
