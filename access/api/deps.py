"""What handlers depend on: the server's parts, who calls (a role's certificate), and whose session it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from access import sessions
from access.kernel import Kernel
from access.permissions import rights_of
from access.sessions import Who
from panelgate import assertion
from panelgate.access_client import BACKGROUND_HEADER, SESSION_HEADER
from panelgate.errors import Refused
from panelgate.pki import Peer, Role


class Body(BaseModel):
    """Base of all request bodies: what isn't named is refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class ClientBody(Body):
    """Where a person's request came from, as the web proxy saw it."""

    address: str = Field(max_length=64)
    user_agent: str = Field("", max_length=4000)

    def client(self) -> sessions.Client:
        """The same for the code behind the API."""
        return sessions.Client(self.address, self.user_agent)


def kernel_of(request: Request) -> Kernel:
    """The server's parts."""
    kernel: Kernel = request.app.state.kernel
    return kernel


Parts = Annotated[Kernel, Depends(kernel_of)]


async def proven_peer(request: Request, kernel: Parts) -> Peer:
    """Who proved possession of a certificate's key for this very call."""
    # In the event loop on purpose: the memory of seen assertions is not shared between threads.
    token = request.headers.get(assertion.HEADER, "")
    ca, now = kernel.authority.certificate, kernel.clock.now()
    return assertion.verify(token, ca, request.method, request.url.path, now, kernel.seen)


def caller(*roles: Role) -> Callable[..., Peer]:
    """A dependency: the calling role, not revoked, one of `roles` (any when none is named)."""

    def check(kernel: Parts, peer: Annotated[Peer, Depends(proven_peer)]) -> Peer:
        if roles and peer.role not in roles:
            raise Refused("wrong_role", "this part of the installation may not ask this", {"role": str(peer.role)})
        if kernel.is_revoked(kernel.store, peer):
            raise Refused("certificate_revoked", "the caller's certificate has been revoked", status=401)
        return peer

    return check


def signed_in(*stages: str) -> Callable[..., Who]:
    """A dependency: the session of header Panelgate-Session, at one of `stages`."""

    def check(
        request: Request,
        kernel: Parts,
        token: Annotated[str, Header(alias=SESSION_HEADER)] = "",
        background: Annotated[str, Header(alias=BACKGROUND_HEADER)] = "",
    ) -> Who:
        who = sessions.check(kernel.store, kernel.limits, token, active=background != "1")
        if who.stage not in stages:
            status = 403 if who.stage == "full" else 401
            raise Refused("wrong_stage", "Finish signing in first.", {"stage": who.stage}, status=status)
        request.state.who = who  # the error handler records refusals with it
        return who

    return check


def permitted(action: str) -> Callable[..., Who]:
    """A dependency: a full session whose user may do `action` in the account as a whole."""

    def check(kernel: Parts, who: Annotated[Who, Depends(signed_in("full"))]) -> Who:
        with kernel.store.account(who.account_id) as unit:
            rights_of(unit, who.user_id, who.role).require(action)
        return who

    return check


FullSession = Annotated[Who, Depends(signed_in("full"))]
AnySession = Annotated[Who, Depends(signed_in("factor", "enrol", "full"))]
FactorSession = Annotated[Who, Depends(signed_in("factor"))]
EnrolSession = Annotated[Who, Depends(signed_in("enrol", "full"))]
FromWebproxy = Depends(caller(Role.WEBPROXY))
FromRelay = Depends(caller(Role.RELAY))
FromAgent = Depends(caller(Role.AGENT))
